"""So many lookups at once, and no more."""

from contextlib import ExitStack

import pytest

from llm_service.core.access.lookups import MAX_LOOKUPS, LookupLimit
from llm_service.core.errors import Overloaded


def test_one_too_many_is_refused_at_once_and_a_free_place_is_taken_again() -> None:
    limit = LookupLimit()
    with ExitStack() as running:
        for _ in range(MAX_LOOKUPS):
            running.enter_context(limit.one_more())
        with pytest.raises(Overloaded) as caught, limit.one_more():
            pass
        assert caught.value.retry_after_s == 1
    with limit.one_more():
        pass


def test_a_lookup_that_fails_frees_its_place() -> None:
    limit = LookupLimit()
    for _ in range(MAX_LOOKUPS + 1):
        with pytest.raises(KeyError), limit.one_more():
            raise KeyError("x")
