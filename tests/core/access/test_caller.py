from dataclasses import replace

import pytest

from llm_service.core.access.caller import LOCAL, LOCAL_OWNER, Caller, Scope


def caller(*scopes: Scope, key_id: str | None = "A" * 12) -> Caller:
    return Caller("ci", frozenset(scopes), key_id)


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ADMIN])
def test_a_scope_opens_itself_and_nothing_else(scope: Scope) -> None:
    assert [other for other in Scope if caller(scope).may(other)] == [scope]


def test_admin_opens_everything_and_nothing_opens_without_a_scope() -> None:
    assert all(caller(Scope.ADMIN).may(scope) for scope in Scope)
    assert not any(caller().may(scope) for scope in Scope)


def test_only_an_admin_with_a_key_sees_other_owners() -> None:
    assert caller(Scope.ADMIN).sees_everyone
    assert not caller(Scope.GENERATE, Scope.HISTORY, Scope.USAGE).sees_everyone
    assert not caller(Scope.ADMIN, key_id=None).sees_everyone


def test_the_local_caller_may_do_everything_with_its_own_rows() -> None:
    assert (LOCAL.owner, LOCAL.key_id) == (LOCAL_OWNER, None)
    assert all(LOCAL.may(scope) for scope in Scope)
    assert not LOCAL.sees_everyone
    assert replace(LOCAL, key_id="A" * 12).sees_everyone, "it is the missing key that keeps them apart"
