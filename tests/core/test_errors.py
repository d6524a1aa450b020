"""The tree of errors: whole, described for callers, and the same after it has travelled as plain values."""

import ast
import re
from pathlib import Path

import pytest

from llm_service.core import errors
from llm_service.core.errors import (
    MAX_FIELDS,
    Cancelled,
    Failure,
    FieldError,
    InvalidInput,
    ServiceError,
    UnknownModel,
    UnknownTemplate,
    UnpricedModel,
    UpstreamRateLimited,
    UpstreamTimeout,
    all_errors,
    error_of_code,
)
from llm_service.web.http.problems import PROBLEMS


def test_every_error_has_a_row_in_the_table() -> None:
    codes = {kind.code for kind in all_errors()}
    assert len(codes) > 25
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert codes <= set(PROBLEMS)


def test_every_row_has_words_and_a_status_of_an_error() -> None:
    for code, problem in PROBLEMS.items():
        assert 400 <= problem.status < 600, code
        assert problem.title, code
        assert problem.meaning.endswith("."), code
        assert problem.remedy.endswith("."), code


def test_the_root_is_the_servers_fault() -> None:
    assert PROBLEMS[ServiceError.code].status == 500


def test_the_tree_in_the_docstring_names_every_error_of_the_module() -> None:
    classes = {
        node.name for node in ast.parse(_source()).body if isinstance(node, ast.ClassDef) and _is_error(node.name)
    }
    assert classes - set(re.findall(r"[A-Z][A-Za-z]+", errors.__doc__ or "")) == set()


def _source() -> str:
    assert errors.__file__
    return Path(errors.__file__).read_text()


def _is_error(name: str) -> bool:
    return issubclass(getattr(errors, name), ServiceError)


def test_many_wrong_fields_are_counted_and_some_are_named() -> None:
    error = InvalidInput.of([FieldError(f"f{number}", "is wrong") for number in range(MAX_FIELDS + 3)])
    assert len(error.fields) == MAX_FIELDS
    assert error.detail.endswith(f"f{MAX_FIELDS - 1} and 3 more.")
    assert InvalidInput.of([FieldError("a", "x"), FieldError("a", "y")]).detail == "Invalid field: a.", (
        "a field is named once"
    )


def test_a_long_id_is_shown_in_part() -> None:
    assert "a" * 65 not in UnknownTemplate("a" * 9999).detail
    assert UnknownTemplate("nope").fields[0].field == "template_id"
    assert UnknownTemplate("nope", in_path=True).fields == ()


@pytest.mark.parametrize(
    ("allowed", "words"),
    [(["a", "b"], "must be one of: a, b"), ([], "this API key allows none"), (None, "unknown to the model provider")],
)
def test_an_unknown_model_says_which_there_are(allowed: list[str] | None, words: str) -> None:
    error = UnknownModel("m" * 999, allowed)
    assert words in error.detail
    assert "m" * 101 not in error.detail
    assert error.fields[0].field == "model"


def test_an_unpriced_model_is_an_unknown_one_with_words_of_its_own() -> None:
    assert UnpricedModel.code == UnknownModel.code
    assert "no known price" in UnpricedModel("m").detail


@pytest.mark.parametrize("kind", list(all_errors()), ids=lambda kind: kind.__name__)
def test_every_error_travels_as_plain_values(kind: type[ServiceError]) -> None:
    error = kind.__new__(kind)
    ServiceError.__init__(error, "what happened", fields=[FieldError("a", "is wrong")], retry_after_s=2.5)
    again = Failure.of(error).error()
    assert type(again) is kind
    assert (again.detail, again.fields, again.retry_after_s) == ("what happened", (FieldError("a", "is wrong"),), 2.5)
    assert str(again) == "what happened"


def test_a_bug_travels_without_its_words() -> None:
    again = Failure.of(RuntimeError("secret")).error()
    assert type(again) is ServiceError
    assert "secret" not in again.detail


def test_a_stored_code_is_its_error_again() -> None:
    assert type(error_of_code("cancelled", "You stopped it.")) is Cancelled
    assert type(error_of_code("upstream-timeout", "x")) is UpstreamTimeout
    assert type(error_of_code("of-another-version", "x")) is ServiceError


def test_an_error_that_reached_no_model_is_never_billed() -> None:
    """Tokens that nobody reported are charged only where the provider may have worked."""
    assert not any(kind.may_be_billed for kind in all_errors(errors.InputError))
    assert not UpstreamRateLimited.may_be_billed
    assert UpstreamTimeout.may_be_billed


def test_what_cannot_succeed_is_tried_once() -> None:
    assert [kind for kind in all_errors() if not kind.retryable and kind.max_attempts > 1] == []
