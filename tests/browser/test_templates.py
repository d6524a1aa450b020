"""The pages of the templates in a real browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE

OpenPage = Callable[..., Page]


def test_the_list_is_filtered_during_typing(open_page: OpenPage) -> None:
    page = open_page("/templates")
    cards = page.locator(".cards > li:visible")
    everything = cards.count()
    page.get_by_role("searchbox", name="Find a template").press_sequentially("main POINTS")
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("summarize_v1")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\?q=main\+POINTS$"))
    expect(cards).to_have_count(1)
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_role("status").filter(has_text="No template found")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(cards).to_have_count(everything)


@pytest.mark.parametrize("options", [{}, {"java_script_enabled": False}, PHONE])
def test_from_a_card_to_the_form_with_its_example(open_page: OpenPage, options: dict[str, object]) -> None:
    page = open_page("/templates?q=classify", **options)
    card = page.locator(".cards > li:visible")
    expect(card).to_have_count(1)
    card.click(position={"x": 5, "y": 100})  # anywhere: the whole card is the link
    expect(page.get_by_role("heading", level=1)).to_have_text("Classify")
    expect(page.locator("#source")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing hangs out at the side"
    example = page.locator(".example pre").first.inner_text()
    page.get_by_role("link", name="Try the example").click()
    expect(page.get_by_label("Input", exact=False).first).to_have_value(example)
