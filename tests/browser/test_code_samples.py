"""The code samples that people copy from the page: they run as they are, whatever was typed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.processes import Server

OpenPage = Callable[..., Page]

# Ends of strings, comments, here-documents and templates; expansions of shells; directions and separators.
NASTY = """It's "quoted" `back` $HOME $(id) !! \\n \\
JSON
'''  \"\"\" ${1+1} // */ --> </script> <b> {{ 7*7 }}
\u65e5\u672c\u8a9e \U0001f600 \u202eabc\u202c \u2028 \u00e9 \ttab"""


def open_samples(page: Page, text: str) -> None:
    page.fill("#field-input", text)
    page.click("#payload-fold > summary")
    expect(page.locator("#payload-json")).to_contain_text(text.split("\n")[0][:3])


def sample(page: Page, language: str) -> str:
    text = page.locator(f"#payload-{language}").text_content()
    assert text
    return text


def run(command: list[str], text: str) -> str:
    """Run it as someone who pastes it, in a shell or a file."""
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=30, check=False, env={"PATH": os.environ["PATH"], "HOME": "/"})  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(name="page")
def _page(open_page: OpenPage) -> Page:
    page = open_page("/?template=basic_chat_v1")
    page.select_option("#field-model", "echo-200")
    page.check("[name=fresh]")
    open_samples(page, NASTY)
    return page


def test_curl_sends_the_very_request(page: Page) -> None:
    text = sample(page, "curl")
    assert "Authorization" not in text, "a local call needs no key"
    answer = json.loads(run(["bash"], text))
    assert answer["user_prompt"] == NASTY
    assert answer["model"] == "echo-200"
    assert answer["cached"] is False


def test_python_sends_the_very_request(page: Page) -> None:
    assert NASTY in run([sys.executable, "-"], sample(page, "python"))
    assert newest_of(page)["user_prompt"] == NASTY


def test_javascript_sends_the_very_request(page: Page) -> None:
    script = sample(page, "javascript")
    printed = page.evaluate(f"(async () => {{ const console = {{log: (text) => {{ printed = text; }}}}; let printed;{script}\nreturn printed; }})()")  # fmt: skip
    assert NASTY in printed
    assert newest_of(page)["user_prompt"] == NASTY


def newest_of(page: Page) -> dict[str, str]:
    items = page.request.get("/api/v1/history?limit=1").json()["items"]
    found: dict[str, str] = page.request.get(f"/api/v1/history/{items[0]['request_id']}").json()
    return found


def test_tabs_work_with_the_keyboard_and_stay_when_the_form_changes(open_page: OpenPage) -> None:
    page = open_page("/")
    open_samples(page, "First")
    expect(page.locator("#payload-curl")).to_be_visible()
    expect(page.locator("#payload-python")).to_be_hidden()
    page.locator("#payload-choose-curl").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#payload-python")).to_be_visible()
    expect(page.locator("#payload-curl")).to_be_hidden()
    with page.expect_response("**/generate/payload"):
        page.fill("#field-input", "Second")
    expect(page.locator("#payload-python")).to_contain_text("Second")
    expect(page.locator("#payload-python")).to_be_visible()
    page.locator("#payload-choose-python").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#payload-javascript")).to_be_visible()
    expect(page.locator("#payload-choose-javascript")).to_be_focused()


def test_tabs_work_without_javascript(open_page: OpenPage) -> None:
    page = open_page("/templates/summarize_v1", java_script_enabled=False)
    expect(page.locator("#example-curl")).to_be_visible()
    page.get_by_text("JavaScript", exact=True).click()
    expect(page.locator("#example-javascript")).to_be_visible()
    expect(page.locator("#example-curl")).to_be_hidden()


def test_the_example_of_a_template_runs(open_page: OpenPage, server: Server) -> None:
    page = open_page("/templates/basic_chat_v1")
    text = page.locator("#example-curl").text_content()
    assert text
    assert f"{server.base_url}/api/v1/templates/basic_chat_v1/generate" in text
    assert json.loads(run(["bash"], text))["status"] == "completed"
