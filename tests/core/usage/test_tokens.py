import pytest

from llm_service.core.usage.tokens import NO_TOKENS, NOT_REPORTED, Usage

CALL = Usage(10, 5, 15, 4, 2)


def test_two_calls_add_up() -> None:
    assert CALL.plus(CALL) == Usage(20, 10, 30, 8, 4)
    assert CALL.plus(NO_TOKENS) == NO_TOKENS.plus(CALL) == CALL


def test_what_only_one_reported_is_the_whole_and_what_nobody_did_is_unknown() -> None:
    assert CALL.plus(NOT_REPORTED) == NOT_REPORTED.plus(CALL) == CALL
    assert Usage(10, None).plus(Usage(None, 5)) == Usage(10, 5)
    assert NOT_REPORTED.plus(NOT_REPORTED) == NOT_REPORTED
    assert Usage(0).plus(NOT_REPORTED) == Usage(0), "zero was reported"


@pytest.mark.parametrize(
    ("usage", "whole"),
    [
        (CALL, True),
        (Usage(0, 0), True),
        (NO_TOKENS, True),
        (NOT_REPORTED, False),
        (Usage(1), False),
        (Usage(None, 1), False),
    ],
)
def test_whether_it_says_all_that_is_billed(usage: Usage, whole: bool) -> None:
    assert usage.is_complete is whole
