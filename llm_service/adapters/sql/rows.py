"""Converts generations to rows and back."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import Row, RowMapping, select

from llm_service.core.generation.model import AnswerWarning, Generation, GenerationSummary, Status
from llm_service.core.generation.tried_models import tried_models
from llm_service.core.messages import load_messages, to_plain
from llm_service.core.usage.tokens import Usage

from .money import from_pico, to_pico
from .tables import answers, generations

_USAGE = ("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "reasoning_tokens")
_BILLED = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
_PLAIN_OUTCOME = (
    "price_version", "error", "incomplete_reason", "attempts", "upstream_request_id", "latency_ms", "finished_ms",
)  # fmt: skip
# Known only when a generation is over.
OUTCOME = (
    "status", *_USAGE, *(f"billed_{name}" for name in _BILLED), "cost_picousd", "saved_picousd", *_PLAIN_OUTCOME,
    "unreported", "warnings",
)  # fmt: skip
# Another model than the one that was asked first answered: then these are known only at the end, too.
SWITCHED = ("model", "provider", "cache_key", "fallbacks")
_SUMMARY = (
    "request_id", "template_id", "template_revision", "model", "status", "cached", "snippet", *_USAGE,
    "cost_picousd", "saved_picousd", "latency_ms", "created_ms", "error", "starred_ms",
)  # fmt: skip
# Columns that equal the field of the same name.
_PLAIN = (
    "request_id", "owner", "answer_id", "template_id", "template_revision", "model", "provider", "cached", "snippet",
    "cache_key", "price_version", "error", "incomplete_reason", "attempts", "upstream_request_id", "latency_ms",
    "created_ms", "finished_ms",
)  # fmt: skip
# The columns of `answer_row` and `generation_row`.
ANSWER = ("answer_id", "input", "parameters", "messages", "output", "structured")
GENERATION = (
    *_PLAIN, "status", *_USAGE, *(f"billed_{name}" for name in _BILLED), "cost_picousd", "saved_picousd", "options",
)  # fmt: skip
_plain_of_outcome = attrgetter(*_PLAIN_OUTCOME)
_plain_of, _usage_of, _billed_of = attrgetter(*_PLAIN), attrgetter(*_USAGE), attrgetter(*_BILLED)
_PLAIN_OF_SUMMARY = tuple(name for name in _PLAIN if name in _SUMMARY and name != "cached")

SUMMARIES = select(generations.c.position, generations.c.answer_id, *(generations.c[name] for name in _SUMMARY))
WHOLE = select(
    generations, answers.c.input, answers.c.parameters, answers.c.messages, answers.c.output, answers.c.structured
).join(answers, answers.c.answer_id == generations.c.answer_id)


def answer_row(generation: Generation) -> dict[str, Any]:
    """The row of its texts."""
    return {
        "answer_id": generation.answer_id,
        "input": generation.input,
        "parameters": msgspec.json.encode(dict(generation.parameters)).decode(),
        "messages": msgspec.json.encode(to_plain(generation.messages)).decode(),
        "output": generation.output,
        "structured": generation.structured,
    }


def generation_row(generation: Generation) -> dict[str, Any]:
    """`shares`: the answer whose document the row gets, if there is one."""
    values = (
        *_plain_of(generation),
        str(generation.status),
        *_usage_of(generation.usage),
        *_billed_of(generation.billed),
        to_pico(generation.cost_usd),
        to_pico(generation.saved_usd),
        json.dumps(dict(generation.options)) if generation.options else None,
    )
    return {**dict(zip(GENERATION, values, strict=True)), "shares": generation.answer_id}


def outcome_row(generation: Generation) -> dict[str, Any]:
    values = (
        str(generation.status),
        *_usage_of(generation.usage),
        *_billed_of(generation.billed),
        to_pico(generation.cost_usd),
        to_pico(generation.saved_usd),
        *_plain_of_outcome(generation),
        # A row has none of these before it is over, and one that was never called has none at all.
        generation.unreported,
        _dump_warnings(generation.warnings),
    )
    return {**dict(zip(OUTCOME, values, strict=True)), "id": generation.request_id, "of": generation.owner}


def switched_row(generation: Generation) -> dict[str, Any]:
    """`outcome_row`, and the columns of `SWITCHED`."""
    fallbacks = json.dumps([asdict(model) for model in generation.fallbacks], default=str, ensure_ascii=False)
    plain = {name: getattr(generation, name) for name in SWITCHED if name != "fallbacks"}
    return {**outcome_row(generation), **plain, "fallbacks": fallbacks}


def generation_of(row: Row[Any], tags: tuple[str, ...] = ()) -> Generation:
    """From a row of `WHOLE`."""
    values = row._mapping
    return Generation(
        **_summary_values(values),
        tags=tags,
        owner=values["owner"],
        answer_id=values["answer_id"],
        provider=values["provider"],
        input=values["input"],
        parameters=json.loads(values["parameters"]),
        messages=load_messages(values["messages"]),
        output=values["output"],
        structured=bool(values["structured"]),
        incomplete_reason=values["incomplete_reason"],
        cache_key=values["cache_key"],
        billed=Usage(**{name: values[f"billed_{name}"] for name in _BILLED}),
        price_version=values["price_version"],
        attempts=values["attempts"],
        unreported=values["unreported"],
        warnings=_load_warnings(values["warnings"]),
        upstream_request_id=values["upstream_request_id"],
        finished_ms=values["finished_ms"],
        fallbacks=tried_models(json.loads(values["fallbacks"])) if values["fallbacks"] else (),
        options=json.loads(values["options"]) if values["options"] else {},
    )


def _dump_warnings(warnings: Sequence[AnswerWarning]) -> str | None:
    return json.dumps([asdict(warning) for warning in warnings]) if warnings else None


def _load_warnings(text: str | None) -> tuple[AnswerWarning, ...]:
    return tuple(AnswerWarning(**warning) for warning in json.loads(text)) if text else ()


def summary_of(row: Row[Any], match: str | None = None, tags: tuple[str, ...] = ()) -> GenerationSummary:
    """From a row of `SUMMARIES`. `match`: the excerpt around what a search found."""
    return GenerationSummary(**_summary_values(row._mapping), match=match, tags=tags)


def _summary_values(values: RowMapping) -> dict[str, Any]:
    return {
        **{name: values[name] for name in _PLAIN_OF_SUMMARY},
        "status": Status(values["status"]),
        "cached": bool(values["cached"]),
        "usage": Usage(**{name: values[name] for name in _USAGE}),
        "cost_usd": from_pico(values["cost_picousd"]),
        "saved_usd": from_pico(values["saved_picousd"]),
        "starred": values["starred_ms"] is not None,
    }
