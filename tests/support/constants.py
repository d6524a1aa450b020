"""Names and places that many tests use."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A template that has everything that a template can have.
TEST_PROMPTS = ROOT / "tests" / "prompts"
# What a browser says when a form of our own page is sent.
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
KEY_CANARY = "sk-canary-0123456789abcdef"
# The ids of the templates in prompts/, in order.
SHIPPED = sorted(path.stem for path in (ROOT / "prompts").glob("*.prompty"))
# The databases that the stores work with.
ENGINES = ("sqlite", "postgres")
# pgbouncer gives each transaction another session.
POOLED_ENGINES = (*ENGINES, pytest.param("pgbouncer", marks=pytest.mark.slow))
