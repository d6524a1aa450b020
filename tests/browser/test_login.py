"""Sign-in with a key, work, and sign-out, in a real browser with the keyboard only."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import Watch
from tests.support.command_line import flask
from tests.support.processes import serving


@pytest.fixture(name="key")
def _key(tmp_path: Path) -> str:
    made = flask(tmp_path, "keys", "create", "alice", "--scope", "generate,history,usage")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(name="page", params=[True, False], ids=["with JavaScript", "without"])
def _page(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path, key: str) -> Iterator[Page]:
    with serving(tmp_path, APP_AUTH="required") as server:
        context = browser.new_context(base_url=server.base_url, java_script_enabled=request.param)
        context.set_default_timeout(10_000)
        page = context.new_page()
        watch = Watch(page, server.base_url)
        yield page
        context.close()
    assert watch.wrong == []


def test_sign_in_work_and_sign_out(page: Page, key: str) -> None:
    page.goto("/history")
    expect(page).to_have_url(re.compile(r"/login\?next=/history$"))
    expect(page.get_by_role("navigation")).to_have_count(0)
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    page.keyboard.type("llms_mistyped")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Invalid API key")).to_be_visible()
    page.get_by_label("API key").focus()
    page.keyboard.insert_text(key)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/history$"))
    expect(page.get_by_text("Signed in as alice")).to_be_visible()

    page.get_by_role("link", name="Generate", exact=True).click()
    page.get_by_label("Input").fill("Hello from a session")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("#output")).to_contain_text("Hello from a session")
    page.get_by_role("link", name="Open", exact=True).click()
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("No generations yet")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto("/history")
    assert urlsplit(page.url).path == "/login"
    assert page.context.cookies() == []


def test_the_cookie_is_out_of_reach_of_scripts(page: Page, key: str) -> None:
    page.goto("/login")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(r"/(\?template=basic_chat_v1)?$"))
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("session", True, "Lax")
    assert key not in page.content()


def test_an_ended_session_leads_back(page: Page, key: str) -> None:
    page.goto("/templates?q=chat")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("searchbox")).to_have_value("chat")
    (cookie,) = page.context.cookies()
    page.context.add_cookies([{"name": "session", "value": "0" * 64, "url": page.url}])
    page.get_by_role("link", name="Usage").click()
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.insert_text(key)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/usage$"))
    assert page.context.cookies()[0]["value"] != cookie["value"]
