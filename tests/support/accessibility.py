"""axe-core in a page: the rules of WCAG 2.2 AA and its best practices, in both colour schemes."""

from functools import cache
from typing import Any

from playwright.sync_api import Page

from tests.support.constants import ROOT

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Off in axe itself because it is young; WCAG 2.2 AA demands it.
ALSO = {"target-size": {"enabled": True}}
# What may differ in the other scheme.
COLOURS = {"type": "rule", "values": ["color-contrast"]}
RUN = """async ([options]) => (await axe.run(document, options)).violations.flatMap((violation) =>
  violation.nodes.map((node) => `${violation.id}: ${node.target.join(" ")}: ${node.failureSummary}`))"""
# A rule sees the page as it is: no transition may be on its way.
AT_REST = """async () => { await Promise.allSettled(document.getAnimations().filter((animation) =>
  animation.effect.getComputedTiming().iterations !== Infinity).map((animation) => animation.finished)); }"""


@cache
def _source() -> str:
    return (ROOT / "tests/vendor/axe/axe.min.js").read_text()


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is now: light with all rules, then dark with those about colours.

    A page whose scheme is chosen (not the system's) is looked at twice the same.
    """
    if not page.evaluate("typeof axe === 'object'"):
        # Evaluated, not added as an element: the page's CSP allows no script of a test's.
        page.evaluate(_source())
    found: list[str] = []
    everything = {"runOnly": {"type": "tag", "values": TAGS}, "rules": ALSO}
    options: dict[str, Any]
    for scheme, options in (("light", everything), ("dark", {"runOnly": COLOURS})):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.evaluate(AT_REST)
        found += [f"{scheme}: {text}" for text in page.evaluate(RUN, [{**options, "resultTypes": ["violations"]}])]
    return found
