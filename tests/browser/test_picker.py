"""The template picker: search, keyboard, touch, input methods, and the plain select behind it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, generate

OpenPage = Callable[..., Page]
SEARCH = "#template-search"
OPTIONS = "#choices [role=option]:visible"


def shows(page: Page, template_id: str) -> None:
    """The picker, the select and the fields agree."""
    expect(page.locator("[name=template_shown]")).to_have_value(template_id)
    expect(page.locator("#template_id")).to_have_value(template_id)
    expect(page.locator(SEARCH)).to_have_value(page.locator(f"#template_id option[value={template_id}]").inner_text())


@pytest.mark.parametrize(
    ("words", "template_id"),
    [("transl", "translate_v1"), ("SQL", "sql_from_schema_v1"), ("meeting", "meeting_actions_v1"), ("keeps glossary", "translate_v1")],
)  # fmt: skip
def test_search_by_name_id_and_description(open_page: OpenPage, words: str, template_id: str) -> None:
    page = open_page("/?template=basic_chat_v1")
    page.get_by_label("Template", exact=True).click()
    page.fill(SEARCH, words)
    expect(page.locator(OPTIONS)).to_have_count(1)
    page.keyboard.press("Enter")
    shows(page, template_id)
    expect(page.locator(SEARCH)).to_be_focused()
    expect(page.locator("#choices")).to_be_hidden()


def test_a_name_that_begins_so_is_chosen_before_a_description_that_has_it(open_page: OpenPage) -> None:
    page = open_page("/?template=basic_chat_v1")
    page.fill(SEARCH, "trans")  # the description of Meeting actions says "transcript"
    expect(page.locator(OPTIONS)).to_have_count(2)
    page.keyboard.press("Enter")
    shows(page, "translate_v1")


def test_the_keyboard(open_page: OpenPage) -> None:
    page = open_page("/?template=basic_chat_v1")
    field = page.locator(SEARCH)
    field.focus()
    expect(page.locator("#choices")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    expect(field).to_have_attribute("aria-expanded", "true")
    # Those of the recent generations are first, if there are any.
    options = [option.get_attribute("id") for option in page.locator("[role=option]:visible").all()]
    chosen = next(at for at, id in enumerate(options) if str(id).endswith("-basic_chat_v1"))
    expect(field).to_have_attribute("aria-activedescendant", str(options[chosen]))
    page.keyboard.press("ArrowDown")
    expect(page.locator("[aria-selected=true]")).to_have_id(str(options[chosen + 1]))
    for _ in range(chosen + 2):
        page.keyboard.press("ArrowUp")
    expect(page.locator("[aria-selected=true]")).to_have_id(str(options[-1]))
    page.keyboard.press("Escape")
    expect(page.locator("#choices")).to_be_hidden()
    shows(page, "basic_chat_v1")
    page.keyboard.type("zzz")
    expect(page.get_by_text("No template matches")).to_be_visible()
    page.keyboard.press("Enter")
    shows(page, "basic_chat_v1")
    page.keyboard.type("summar")
    page.keyboard.press("Tab")
    shows(page, "basic_chat_v1")


def test_enter_never_generates(open_page: OpenPage) -> None:
    page = open_page("/?template=basic_chat_v1")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/generate/answer" in request.url else None)
    page.fill("#field-input", "Do not ask this")
    page.locator(SEARCH).focus()
    for _ in range(4):
        page.keyboard.press("Enter")
    expect(page.locator("#choices")).to_be_hidden()
    assert asked == []


def test_an_input_method_may_use_enter(open_page: OpenPage) -> None:
    page = open_page("/?template=basic_chat_v1")
    page.locator(SEARCH).focus()
    devtools = page.context.new_cdp_session(page)
    devtools.send("Input.imeSetComposition", {"text": "transl", "selectionStart": 6, "selectionEnd": 6})
    expect(page.locator(OPTIONS)).to_have_count(1)
    page.dispatch_event(SEARCH, "keydown", {"key": "Enter", "isComposing": True})
    expect(page.locator("#choices")).to_be_visible()
    devtools.send("Input.insertText", {"text": "translate"})
    page.keyboard.press("Enter")
    shows(page, "translate_v1")


def test_what_was_used_comes_first(open_page: OpenPage) -> None:
    page = open_page("/?template=summarize_v1")
    generate(page, "Remember this template")
    expect(page.locator("#output")).to_be_visible()
    page.goto("/?template=basic_chat_v1")
    page.locator(SEARCH).click()
    expect(page.locator(OPTIONS).first).to_have_id("recent-summarize_v1")
    page.locator(OPTIONS).first.click()
    shows(page, "summarize_v1")


def test_the_select_leads(open_page: OpenPage) -> None:
    """Drafts and other scripts set it."""
    page = open_page("/?template=basic_chat_v1")
    page.select_option("#template_id", "translate_v1")
    shows(page, "translate_v1")


def test_the_open_list_is_accessible(open_page: OpenPage, check_accessibility: Callable[[Page], None]) -> None:
    page = open_page("/?template=basic_chat_v1")
    page.locator(SEARCH).click()
    check_accessibility(page)
    page.fill(SEARCH, "nothing like it")
    check_accessibility(page)


def test_on_a_phone(open_page: OpenPage) -> None:
    page = open_page("/?template=basic_chat_v1", **PHONE, has_touch=True)
    page.tap(SEARCH)
    page.tap("#any-classify_v1")
    shows(page, "classify_v1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_without_javascript_the_select_is_there(open_page: OpenPage) -> None:
    page = open_page("/?template=basic_chat_v1", java_script_enabled=False)
    expect(page.locator(SEARCH)).to_be_hidden()
    page.get_by_label("Template", exact=True).select_option("translate_v1")
    page.click("text=Load template")
    expect(page.locator("[name=template_shown]")).to_have_value("translate_v1")
