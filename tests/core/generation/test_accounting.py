"""What one generation adds to the sums of usage."""

from dataclasses import replace
from decimal import Decimal

import pytest

from llm_service.core.generation.accounting import parts_of, sums_of
from llm_service.core.generation.model import Generation, Status
from llm_service.core.generation.tried_models import TriedModel
from llm_service.core.usage.tokens import NOT_REPORTED, Usage
from tests.support.builders import USAGE, paid, spared


def test_a_call_adds_what_was_billed() -> None:
    sums = sums_of(paid(1))
    assert (sums.requests, sums.completed, sums.hits, sums.joined) == (1, 1, 0, 0)
    assert (sums.input_tokens, sums.output_tokens, sums.cost_usd) == (10, 20, Decimal("0.5"))
    assert (sums.saved_input_tokens, sums.saved_usd) == (0, 0)
    assert sum(sums.latencies.values()) == 1


@pytest.mark.parametrize(("hit", "hits", "joined"), [(True, 1, 0), (False, 0, 1)])
def test_a_hit_and_a_joined_call_add_what_they_saved(hit: bool, hits: int, joined: int) -> None:
    sums = sums_of(spared(1, cached=hit))
    assert (sums.hits, sums.joined) == (hits, joined)
    assert (sums.input_tokens, sums.cost_usd) == (0, 0)
    assert (sums.saved_input_tokens, sums.saved_output_tokens, sums.saved_usd) == (10, 20, Decimal("0.5"))


@pytest.mark.parametrize(
    ("generation", "unknown_usage", "unknown_price"),
    [
        (paid(1, billed=Usage()), 1, 0),
        (paid(1, billed=replace(USAGE, output_tokens=None)), 1, 0),
        (paid(1, cost_usd=None), 0, 1),
        (spared(1, saved_usd=None), 0, 1),
        (paid(1), 0, 0),
        (paid(1, attempts=2, unreported=0), 0, 0),
        (paid(1, attempts=2, unreported=1), 1, 0),
        (paid(1, attempts=2, unreported=1, cost_usd=None), 1, 0),
        (paid(1, attempts=2, unreported=1, status=Status.INTERRUPTED), 1, 0),
        (spared(1, cached=False, unreported=0), 0, 0),
    ],
)
def test_what_is_unknown_is_counted_and_never_summed(
    generation: Generation, unknown_usage: int, unknown_price: int
) -> None:
    sums = sums_of(generation)
    assert (sums.unknown_usage, sums.unknown_price) == (unknown_usage, unknown_price)


def test_a_failure_is_billed_and_has_no_latency() -> None:
    sums = sums_of(paid(1, status=Status.FAILED))
    assert (sums.failed, sums.completed, sums.input_tokens, sums.latencies) == (1, 0, 10, {})


def test_a_generation_with_several_unknown_bills_counts_once() -> None:
    unknown = TriedModel("a", "far", "upstream-error", 1, 1, NOT_REPORTED, None)
    unpriced = TriedModel("b", "near", "upstream-error", 1, 0, Usage(3, 1), None)
    generation = paid(1, attempts=3, unreported=1, billed=Usage(13, 21), cost_usd=None, fallbacks=(unknown, unpriced))
    parts = parts_of(generation)
    assert [(sums.unknown_usage, sums.unknown_price) for _, _, sums in parts] == [(1, 0), (0, 0), (0, 0)]
    assert [sums.input_tokens for _, _, sums in parts] == [0, 3, 10]


def test_one_model_alone_is_one_part() -> None:
    generation = paid(1)
    assert parts_of(generation) == (("gpt-4o-mini", "openai", sums_of(generation)),)
