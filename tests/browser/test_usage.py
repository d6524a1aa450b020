"""The usage page in a real browser: drawn charts, their numbers as tables, no script needed."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import PHONE, generate

OpenPage = Callable[..., Page]


def height_of(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["height"]


@pytest.mark.parametrize("options", [{}, PHONE, {"java_script_enabled": False}, {"color_scheme": "dark"}])
def test_usage_at_a_glance(open_page: OpenPage, options: dict[str, object]) -> None:
    page = open_page()
    generate(page, "What is usage?")
    expect(page.locator("#output")).to_have_text("Answer to: What is usage?")

    page = open_page("/", **options)
    page.click(".nav >> text=Usage")
    expect(page.locator(".nav [aria-current]")).to_have_text("Usage")
    expect(page.locator(".ranges [aria-current]")).to_have_text("30 days")
    page.click(".ranges >> text=24 hours")
    expect(page.locator("[role=img]").first).to_be_visible()
    requests = page.get_by_role("img", name="Requests")
    assert height_of(requests) == 144
    last = requests.locator("path.tone-main")
    assert height_of(last) > 0
    assert last.evaluate("bar => getComputedStyle(bar).fill") != "rgb(0, 0, 0)"

    chart = page.locator(".chart", has=requests)
    expect(chart.locator("table")).to_be_hidden()
    chart.locator("summary").click()
    expect(chart.locator("tbody tr")).not_to_have_count(0)
    expect(page.locator(".breakdown").last).to_contain_text("normal")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"\?since=....-..-..&until=....-..-..$"))
    expect(page.locator(".ranges [aria-current]")).to_have_count(0)
    expect(page.locator(".breakdown").last).to_contain_text("normal")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing hangs out at the side"
