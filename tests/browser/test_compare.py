"""Comparing answers in a browser: streaming at once, with their difference, with and without JavaScript."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, generate
from tests.support.tcp_proxy import Down, LimitData, TcpProxy
from tests.support.upstream import Upstream, asked_of

OpenPage = Callable[..., Page]
Check = Callable[[Page], None]
SUBMIT = "#compare-form .primary"


def choose(page: Page, text: str, *models: str) -> None:
    """The same template in as many columns as models."""
    page.fill("#field-input", text)
    for number, model in enumerate(models, 1):
        page.select_option(f"#field-template_{number}", "basic_chat_v1")
        page.select_option(f"#field-model_{number}", model)


def calls_of(upstream: Upstream, text: str) -> list[str]:
    return sorted(call["body"]["model"] for call in upstream.calls if asked_of(call["body"]) == text)


def test_columns_stream_at_once_and_one_that_fails_holds_up_no_other(open_page: OpenPage, upstream: Upstream) -> None:
    page = open_page("/compare")
    choose(page, "What is compared?", "tokens-20-5", "echo-200", "fault-500")
    upstream.may_end.clear()
    page.click(SUBMIT)
    columns = page.locator(".compared .answer")
    expect(columns).to_have_count(3)
    try:
        expect(columns.nth(0)).to_contain_text("word word")
        expect(columns.nth(2).locator(".problem")).to_contain_text("Model provider error")
        expect(columns.nth(1)).to_contain_text("Answer to: What is")
        assert page.locator("[data-running]").count() == 2
        assert page.locator("#difference .diff").count() == 0
    finally:
        upstream.may_end.set()
    for column in (0, 1):
        expect(columns.nth(column).locator(".facts > summary")).to_contain_text(" tokens, ")
    expect(page.locator("#difference .diff .line")).to_have_count(2)
    expect(page.locator("#difference")).to_contain_text("Added: Answer to: What is compared?")
    page.reload()
    expect(columns.nth(1).locator(".output")).to_have_text("Answer to: What is compared?")
    assert len(set(calls_of(upstream, "What is compared?"))) == 3
    assert len([model for model in calls_of(upstream, "What is compared?") if model != "fault-500"]) == 2


def test_another_pair_is_compared_without_a_new_page(open_page: OpenPage) -> None:
    page = open_page("/compare")
    choose(page, "Pairs", "normal", "normal", "tokens-20-5")
    page.click(SUBMIT)
    expect(page.locator("#difference")).to_contain_text("There is no difference.")
    page.focus("#difference-second")
    page.select_option("#difference-second", "3")
    expect(page.locator("#difference")).to_contain_text("Added: word word")
    expect(page.locator("#difference-second")).to_be_focused()
    expect(page.locator("#difference-second")).to_have_value("3")


def test_a_double_click_and_a_reload_pay_once(open_page: OpenPage, upstream: Upstream) -> None:
    page = open_page("/compare")
    choose(page, "Only once", "normal", "slow-1")
    page.check("[name=fresh]")
    page.dblclick(SUBMIT)
    expect(page.locator(".compared .output").nth(1)).to_have_text("Answer to: Only once")
    page.reload()
    page.go_back()
    page.go_forward()
    expect(page.locator(".compared .output").nth(1)).to_have_text("Answer to: Only once")
    assert calls_of(upstream, "Only once") == ["normal", "slow-1"]


def test_without_a_server_the_form_says_so_and_a_retry_pays_once(
    proxy: TcpProxy, open_through: Callable[..., Page], upstream: Upstream
) -> None:
    page = open_through(proxy.port, "/compare")
    choose(page, "Nobody compares", "normal", "echo-200")
    proxy.use(LimitData(0))
    page.click(SUBMIT)
    expect(page.locator("#compare-outcome > .no-connection")).to_be_visible()
    expect(page.locator("#field-input")).to_have_value("Nobody compares")
    proxy.heal()
    page.locator("#compare-outcome").get_by_role("button", name="Try again").click()
    expect(page.locator(".compared .output").nth(1)).to_have_text("Answer to: Nobody compares")
    assert calls_of(upstream, "Nobody compares") == ["echo-200", "normal"]


def test_all_columns_go_on_after_a_cut(proxy: TcpProxy, open_through: Callable[..., Page], upstream: Upstream) -> None:
    page = open_through(proxy.port, "/compare")
    choose(page, "Cut and joined", "tokens-20-5", "echo-200")
    upstream.may_end.clear()
    try:
        page.click(SUBMIT)
        grown = page.locator(".compared [data-grows]")
        expect(grown.nth(0)).to_contain_text("word")
        expect(grown.nth(1)).to_contain_text("Answer")
        proxy.use(Down())
        expect(page.get_by_text("Connection lost. Reconnecting …")).to_have_count(2)
        expect(page.get_by_text("Connection lost. Reconnecting …").nth(1)).to_be_visible()
        expect(grown.nth(0)).to_contain_text("word")
        proxy.heal()
    finally:
        upstream.may_end.set()
    expect(page.locator("[data-running]")).to_have_count(0)
    expect(page.locator(".compared .output").nth(1)).to_have_text("Answer to: Cut and joined")
    expect(page.locator("#difference .line")).to_have_count(2)


def test_enter_in_a_line_starts_nothing_and_ctrl_enter_does(open_page: OpenPage, upstream: Upstream) -> None:
    page = open_page("/compare")
    page.select_option("#field-template_2", "translate_v1")
    language = page.locator("#field-parameters-target_language")
    language.fill("German")
    page.fill("#field-input", "Stray")
    language.press("Enter")
    expect(page.locator(".compared")).to_have_count(0)
    assert calls_of(upstream, "Stray") == []
    language.press("Control+Enter")
    expect(page.locator(".compared .answer")).to_have_count(2)
    expect(page.locator(".compared .output").nth(1)).not_to_be_empty()


def test_what_was_typed_survives_another_template(open_page: OpenPage) -> None:
    page = open_page("/compare")
    page.fill("#field-input", "Kept")
    page.select_option("#field-parameters-tone", "simple")
    page.select_option("#field-template_2", "translate_v1")
    expect(page.locator("#field-parameters-target_language")).to_be_visible()
    expect(page.locator("#field-input")).to_have_value("Kept")
    expect(page.locator("#field-parameters-tone")).to_have_value("simple")
    page.click(SUBMIT)
    expect(page.locator(".problem")).to_be_focused()
    expect(page.locator("#field-input")).to_have_value("Kept")
    page.click('text=Enter some text in "Target language".')
    expect(page.locator("#field-parameters-target_language")).to_be_focused()


def test_it_begins_at_an_answer(open_page: OpenPage) -> None:
    page = open_page()
    generate(page, "From the answer")
    page.click("#answer >> text=Compare")
    expect(page.locator("#field-input")).to_have_value("From the answer")
    expect(page.locator("#field-template_2")).to_have_value("basic_chat_v1")
    models = [page.input_value(f"#field-model_{number}") for number in (1, 2)]
    assert models[0] != models[1], "another model is chosen"


@pytest.mark.parametrize("options", [{}, PHONE])
def test_without_javascript_the_page_is_complete(open_page: OpenPage, options: dict[str, Any]) -> None:
    page = open_page("/compare", java_script_enabled=False, **options)
    choose(page, "No script", "slow-1", "normal")
    page.select_option("#field-template_3", "translate_v1")
    page.click("text=Show the fields of these templates")
    page.fill("#field-parameters-target_language", "German")
    page.click(SUBMIT)
    expect(page.locator(".compared .answer")).to_have_count(3)
    expect(page.locator(".compared .output").nth(0)).to_have_text("Answer to: No script")
    expect(page.locator("[data-running]")).to_have_count(0)
    page.select_option("#difference-second", "3")
    page.click("#difference >> text=Show")
    expect(page.locator("#difference")).to_contain_text("Column 3 (")


@pytest.mark.parametrize("options", [{}, PHONE], ids=["wide", "phone"])
def test_everybody_can_use_it(open_page: OpenPage, check_accessibility: Check, options: dict[str, Any]) -> None:
    page = open_page("/compare", **options)
    check_accessibility(page)
    page.fill("#field-input", " ")
    page.click(SUBMIT)
    expect(page.locator(".problem")).to_be_visible()
    check_accessibility(page)
    choose(page, "For everybody", "normal", "echo-200", "fault-500")
    page.select_option("#field-template_4", "translate_v1")
    page.fill("#field-parameters-target_language", "German")
    page.click(SUBMIT)
    expect(page.locator(".compared .facts > summary")).to_have_count(4)
    expect(page.locator("[data-running]")).to_have_count(0)
    page.select_option("#difference-second", "4")
    page.click("#setup > summary")
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_pages_of_revisions(open_page: OpenPage, check_accessibility: Check) -> None:
    page = open_page("/templates/basic_chat_v1/diff", **PHONE)
    check_accessibility(page)
    page.click("text=Source of >> nth=0")
    expect(page.locator("#source")).to_contain_text("name: Basic chat")
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
