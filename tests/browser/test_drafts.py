"""What people type is kept: over reloads, ways away and back, other templates, and the end of a session."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import Watch, generate
from tests.support.command_line import flask
from tests.support.processes import serving

OpenPage = Callable[..., Page]
INPUT = "#field-input"


def fill(page: Page) -> None:
    page.fill(INPUT, "A draft\nof two lines")
    page.select_option("#field-parameters-tone", "simple")
    page.select_option("#field-model", "slow-1")
    page.check("[name=fresh]")


def expect_filled(page: Page) -> None:
    expect(page.locator(INPUT)).to_have_value("A draft\nof two lines")
    expect(page.locator("#field-parameters-tone")).to_have_value("simple")
    expect(page.locator("#field-model")).to_have_value("slow-1")
    expect(page.locator("[name=fresh]")).to_be_checked()


def expect_template(page: Page, template_id: str) -> None:
    expect(page.locator("#template_id")).to_have_value(template_id)
    expect(page.locator("[name=template_shown]")).to_have_value(template_id)
    expect(page).to_have_url(re.compile(rf"[?&]template={template_id}\b"))


def test_a_draft_survives_reload_and_navigation(open_page: OpenPage) -> None:
    page = open_page()
    expect_template(page, "basic_chat_v1")
    fill(page)
    page.reload()
    expect_filled(page)
    page.click(".nav >> text=Usage")
    page.go_back()
    expect_filled(page)
    page.go_forward()
    page.click(".nav >> text=Generate")
    expect_filled(page)


def test_each_template_has_its_draft(open_page: OpenPage) -> None:
    page = open_page()
    fill(page)
    page.select_option("#template_id", "translate_v1")
    expect_template(page, "translate_v1")
    expect(page.locator(INPUT)).to_have_value("A draft\nof two lines")
    page.fill("#field-parameters-target_language", "Latin")
    page.fill(INPUT, "Another draft")
    page.select_option("#template_id", "basic_chat_v1")
    expect_filled(page)
    page.go_back()
    expect_template(page, "translate_v1")
    expect(page.locator(INPUT)).to_have_value("Another draft")
    expect(page.locator("#field-parameters-target_language")).to_have_value("Latin")
    page.click(".nav >> text=Usage")
    page.go_back()
    expect_template(page, "translate_v1")
    expect(page.locator("#field-parameters-target_language")).to_have_value("Latin")
    page.go_back()
    expect_template(page, "basic_chat_v1")
    expect_filled(page)
    page.click(".nav >> text=Usage")
    page.click(".nav >> text=Generate")
    expect_template(page, "basic_chat_v1")


def test_a_text_that_was_carried_to_another_template_is_kept(open_page: OpenPage) -> None:
    page = open_page()
    page.fill(INPUT, "Carried")
    page.select_option("#template_id", "summarize_v1")
    expect_template(page, "summarize_v1")
    page.reload()
    expect_template(page, "summarize_v1")
    expect(page.locator(INPUT)).to_have_value("Carried")


def test_reset_and_examples(open_page: OpenPage) -> None:
    page = open_page()
    fill(page)
    page.goto("/?template=basic_chat_v1&example=1")
    example = page.input_value(INPUT)
    assert example not in ("", "A draft\nof two lines")
    page.goto("/")
    expect_filled(page)
    page.goto("/?template=basic_chat_v1&example=1")
    page.fill(INPUT, "The example, edited")
    page.reload()
    expect(page.locator(INPUT)).to_have_value("The example, edited")
    page.click("text=Reset")
    expect(page.locator(INPUT)).to_have_value("")
    expect(page.locator("#field-parameters-tone")).to_have_value("neutral")
    page.reload()
    expect(page.locator(INPUT)).to_have_value("")


def test_the_draft_of_a_running_generation(open_page: OpenPage) -> None:
    page = open_page()
    page.fill(INPUT, "Running")
    page.select_option("#field-model", "tokens-20-5")
    page.check("[name=fresh]")
    page.click("#generate-button")
    expect(page.locator("#output")).to_contain_text("word")
    page.reload()
    expect(page.locator("#output")).to_contain_text("word")
    expect(page.locator("#field-model")).to_have_value("tokens-20-5")
    expect(page.locator("[name=fresh]")).to_be_checked()
    page.fill(INPUT, "Changed meanwhile")
    page.reload()
    expect(page.locator(INPUT)).to_have_value("Changed meanwhile")


def test_old_drafts_go_first(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(
        """() => localStorage.setItem("drafts ", JSON.stringify(
          [...Array(8).keys()].map((i) => [`old_${i}`, { source: "", values: [["input", "y".repeat(120_000)]] }])))"""
    )
    page.fill(INPUT, "One more")
    kept = page.evaluate("JSON.parse(localStorage.getItem('drafts ')).map(([template]) => template)")
    assert kept == ["old_4", "old_5", "old_6", "old_7", "basic_chat_v1"]


@pytest.fixture(name="keys")
def _keys(tmp_path: Path) -> dict[str, str]:
    made = {}
    for name in ("alice", "bob"):
        result = flask(tmp_path, "keys", "create", name, "--scope", "generate,history,usage")
        assert result.returncode == 0, result.stderr
        made[name] = result.stdout.strip()
    return made


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_a_session_that_ends_and_a_sign_out(browser: Browser, tmp_path: Path, keys: dict[str, str]) -> None:
    with serving(tmp_path, APP_AUTH="required") as server:
        context = browser.new_context(base_url=server.base_url)
        context.set_default_timeout(10_000)
        page = context.new_page()
        watch = Watch(page, server.base_url)
        page.goto("/")
        sign_in(page, keys["alice"])
        page.select_option("#template_id", "translate_v1")
        page.fill("#field-parameters-target_language", "Latin")
        context.clear_cookies()
        generate(page, "Typed before the session ended")
        expect(page).to_have_url(re.compile("/login"))
        sign_in(page, keys["alice"])
        expect_template(page, "translate_v1")
        expect(page.locator(INPUT)).to_have_value("Typed before the session ended")
        expect(page.locator("#field-parameters-target_language")).to_have_value("Latin")

        context.clear_cookies()
        page.goto("/")
        sign_in(page, keys["bob"])
        expect_template(page, "translate_v1")
        expect(page.locator(INPUT)).to_have_value("")
        page.fill(INPUT, "Of bob")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
        context.close()
        assert watch.wrong == []


def test_without_scripts_the_sign_in_page_carries_the_text(
    browser: Browser, tmp_path: Path, keys: dict[str, str]
) -> None:
    with serving(tmp_path, APP_AUTH="required") as server:
        context = browser.new_context(base_url=server.base_url, java_script_enabled=False)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.goto("/?template=translate_v1")
        sign_in(page, keys["alice"])
        page.fill("#field-parameters-target_language", "Latin")
        page.fill(INPUT, "Typed before\nthe session ended")
        context.clear_cookies()
        page.click("#generate-button")
        expect(page.get_by_text("What you typed is kept")).to_be_visible()
        sign_in(page, keys["alice"])
        expect(page.locator(INPUT)).to_have_value("Typed before\nthe session ended")
        expect(page.locator("#field-parameters-target_language")).to_have_value("Latin")
        page.click("#generate-button")
        expect(page.locator("#output")).to_contain_text("Typed before")
        context.close()
