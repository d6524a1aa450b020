"""Options for one request, typed in the page."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.browser import generate
from tests.support.upstream import Upstream, asked_of

OpenPage = Callable[..., Page]


def test_open_options_and_samples_are_accessible(
    open_page: OpenPage, check_accessibility: Callable[[Page], None]
) -> None:
    page = open_page()
    page.get_by_text("Options", exact=True).click()
    expect(page.locator("#field-options-temperature")).to_be_visible()
    check_accessibility(page)
    page.keyboard.press("Escape")
    page.click("#payload-fold > summary")
    page.get_by_text("Python", exact=True).click()
    expect(page.locator("#payload-python")).to_be_visible()
    check_accessibility(page)


def test_options_are_sent_and_are_there_after_a_reload(open_page: OpenPage, upstream: Upstream) -> None:
    page = open_page()
    page.get_by_text("Options", exact=True).click()
    page.fill("#field-options-temperature", "0.7")
    page.fill("#field-options-max_output_tokens", "3000000")
    generate(page, "With some options")
    expect(
        page.locator("#field-options-max_output_tokens")
    ).to_be_focused()  # the browser refuses it, and opens the menu
    page.fill("#field-options-max_output_tokens", "300")
    page.click("#generate-button")
    expect(page.locator("#output")).to_have_text("Answer to: With some options")
    (body,) = [call["body"] for call in upstream.calls_of("normal") if asked_of(call["body"]) == "With some options"]
    assert (body["temperature"], body["max_output_tokens"]) == (0.7, 300)
    page.reload()
    page.get_by_text("Options", exact=True).click()
    expect(page.locator("#field-options-temperature")).to_have_value("0.7")
