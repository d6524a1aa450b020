"""Options for one request, typed in the page."""

from collections.abc import Callable

import pytest
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


@pytest.mark.parametrize("width", [320, 375, 640])
def test_the_options_are_on_the_screen_of_a_phone(open_page: OpenPage, width: int) -> None:
    page = open_page("/?template=basic_chat_v1", viewport={"width": width, "height": 360 if width == 640 else 700})
    page.locator("#action-bar summary").click()
    panel = page.locator("#action-bar .more > .panel")
    expect(panel).to_be_in_viewport(ratio=1)
    expect(page.get_by_label("Temperature")).to_be_in_viewport(ratio=1)
    page.get_by_label("Max output tokens").fill("100")
    expect(page.get_by_label("Max output tokens")).to_be_in_viewport(ratio=1)
