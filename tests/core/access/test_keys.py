"""What a key looks like, and what is refused when one is made."""

import hashlib
import os
import re
import string
from decimal import Decimal

import pytest

from llm_service.core.access.caller import LOCAL, Allowance, Scope
from llm_service.core.access.keys import (
    KEY_CHARS,
    Key,
    digest_of,
    make_key,
    parse_expiry,
    parse_key,
    parse_models,
    parse_scopes,
    parse_usd,
    validate_name,
)
from llm_service.core.clock import DAY_MS
from llm_service.core.errors import InvalidInput

NOW_MS = 1_790_000_000_000


def test_a_key_has_its_form() -> None:
    for _ in range(200):
        text, key_id = make_key(os.urandom)
        assert re.fullmatch(r"llms_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", text, re.ASCII)
        assert set(text) <= {*string.ascii_letters, *string.digits, "_"}
        assert len(text) == KEY_CHARS
        presented = parse_key(text)
        assert presented is not None
        assert (presented.key_id, presented.digest) == (key_id, hashlib.sha256(text.encode()).digest())
        assert digest_of(text) == presented.digest


def test_the_secret_has_256_bits_and_nothing_is_lost() -> None:
    asked: list[int] = []

    def ones(size: int) -> bytes:
        asked.append(size)
        return b"\xff" * size

    biggest, _ = make_key(ones)
    smallest, _ = make_key(bytes)
    assert asked == [8, 32]
    assert len(biggest) == len(smallest) == KEY_CHARS
    assert parse_key(biggest)
    assert parse_key(smallest)
    assert len({make_key(os.urandom)[0] for _ in range(1000)}) == 1000


def test_every_single_slip_is_seen() -> None:
    text, _ = make_key(os.urandom)
    for position in range(len(text)):
        other = "x" if text[position] != "x" else "y"
        assert parse_key(text[:position] + other + text[position + 1 :]) is None, position
        assert parse_key(text[:position] + text[position + 1 :]) is None, position
    for changed in (text + "0", " " + text, text + "\n", text.upper(), text.swapcase(), "", "x" * 1_000_000):
        assert parse_key(changed) is None


@pytest.mark.parametrize("name", ["ci", "alice.b", "a" * 64, "0-9_x", "local"])
def test_good_names(name: str) -> None:
    assert validate_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "a" * 65, "ä", "a\n", "a\0", "*"])
def test_bad_names(name: str) -> None:
    with pytest.raises(InvalidInput):
        validate_name(name)


def test_scopes() -> None:
    assert parse_scopes(["generate", " history", ""]) == {Scope.GENERATE, Scope.HISTORY}
    for wrong in ([], [""], ["generate", "root"], ["GENERATE"]):
        with pytest.raises(InvalidInput, match="scope"):
            parse_scopes(wrong)


def test_what_a_key_says_of_its_caller() -> None:
    allowance = Allowance(60, 4, Decimal("2.5"), 1000)
    key = Key("A" * 12, "ci", frozenset({Scope.GENERATE}), 0, frozenset({"m"}), allowance)
    caller = key.caller()
    assert (caller.owner, caller.key_id, caller.models, caller.allowance) == ("ci", "A" * 12, {"m"}, allowance)
    assert [caller.may(scope) for scope in Scope] == [True, False, False, False]
    assert not caller.sees_everyone
    admin = Key("A" * 12, "ci", frozenset({Scope.ADMIN}), 0).caller()
    assert all(admin.may(scope) for scope in Scope)
    assert admin.sees_everyone
    assert not LOCAL.sees_everyone


def test_models() -> None:
    assert parse_models(["a", " b:7 "]) == {"a", "b:7"}
    assert parse_models([]) is None
    assert parse_models([""]) is None
    for wrong in (["a b"], ["ä"], ["x" * 201], [f"m{number}" for number in range(101)]):
        with pytest.raises(InvalidInput):
            parse_models(wrong)


def test_money() -> None:
    assert parse_usd("2.50") == Decimal("2.5")
    for wrong in ("0", "-1", "NaN", "Infinity", "1e9", "x", "", "0.0000001"):
        with pytest.raises(InvalidInput, match="budget-usd-day"):
            parse_usd(wrong)


def test_expiry() -> None:
    assert parse_expiry("30d", NOW_MS) == NOW_MS + 30 * DAY_MS
    assert parse_expiry("2027-01-31", NOW_MS) == 1_801_353_600_000
    assert parse_expiry("2027-01-31T18:00Z", NOW_MS) == parse_expiry("2027-01-31T20:00+02:00", NOW_MS)
    assert parse_expiry("2027-01-31 18:00", NOW_MS) == parse_expiry("2027-01-31T18:00Z", NOW_MS)
    for wrong in ("0d", "d", "2020-01-01", "tomorrow", "2027-13-01", "9999999d", "99999d0", "2027-01-31 18", ""):
        with pytest.raises(InvalidInput, match="expires"):
            parse_expiry(wrong, NOW_MS)
