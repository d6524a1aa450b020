"""Errors explained to people."""

import pytest
from flask import Flask

from llm_service.core.errors import Overloaded, UpstreamRateLimited
from llm_service.web.http.errors import problem_of
from llm_service.web.http.problems import PROBLEMS, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 s"), (42, "42 s"), (120, "120 s"), (121, "3 min"), (7200, "120 min"), (7201, "3 h"), (86_400, "24 h")],
)
def test_durations_round_up(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_the_remedy_says_how_long_to_wait_if_that_is_known() -> None:
    assert problem_of(UpstreamRateLimited("Slow down.", retry_after_s=41.6)).remedy == "Try again in 42 s."
    assert problem_of(Overloaded("Full.")).remedy.startswith("Try again in 5 s."), "as the Retry-After of every 503"
    assert PROBLEMS["upstream-rate-limited"].remedy == "Try again later."


def test_a_page_says_how_long_to_wait(app: Flask) -> None:
    def busy() -> None:
        raise UpstreamRateLimited("Slow down.", retry_after_s=42)

    app.before_request(busy)
    response = app.test_client().get("/problems/csrf")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "42")
    assert "Try again in 42 s." in response.text
