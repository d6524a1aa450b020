"""Hostile text as a model's output, in a real browser: while it streams, when it is complete, and in the history.

`open_page` fails the test for any dialog, request to another origin, violation of the CSP, or error.
"""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from llm_service.web.pages.markdown import ATTRIBUTES, TAGS
from tests.support.browser import generate
from tests.support.hostile import EVERYTHING, IMAGES, LINKS, NO_LINKS, SCRIPTS
from tests.support.processes import Server
from tests.support.upstream import Upstream

OpenPage = Callable[..., Page]
# Each group alone, and all in one answer: a text may close an element that another opened.
GROUPS = {"scripts": SCRIPTS, "no links": NO_LINKS, "images": IMAGES, "links": list(LINKS), "all": EVERYTHING}
# The elements of the shown answer, with their attributes.
SHOWN = """() => [...document.querySelectorAll(".markdown *, .output *")]
  .filter((element) => !element.matches(".code-block, .code-head, .code-head > *, .scroll, .task > input"))
  .map((element) => [element.localName, element.getAttributeNames()])"""
LINKED = """() => [...document.querySelectorAll(".markdown a")]
  .map((link) => [link.protocol, link.rel, link.hostname, link.nextElementSibling?.textContent])"""


def text_of(group: str) -> str:
    return "x\n\n" + "\n\n".join(GROUPS[group])


def only_what_may_be(page: Page) -> None:
    for tag, attributes in page.evaluate(SHOWN):
        assert tag in TAGS
        ours = {"rel"} if tag == "a" else {"tabindex", "role", "aria-label"} if tag == "pre" else set()
        assert set(attributes) <= ATTRIBUTES.get(tag, set()) | ours
    for protocol, rel, host, beside in page.evaluate(LINKED):
        assert protocol in ("http:", "https:")
        assert rel == "noopener noreferrer nofollow"
        assert beside == f"({host})"


@pytest.mark.parametrize("group", GROUPS)
def test_while_it_streams_and_when_it_is_whole(open_page: OpenPage, upstream: Upstream, group: str) -> None:
    page = open_page()
    page.select_option("#field-model", "echo-200")
    upstream.may_end.clear()
    try:
        generate(page, text_of(group))
        expect(page.locator("[data-grows]")).not_to_be_empty()
        only_what_may_be(page)
    finally:
        upstream.may_end.set()
    expect(page.locator(".facts .state")).to_be_visible()
    expect(page.locator(".answer img, .answer iframe, .answer script")).to_have_count(0)
    only_what_may_be(page)
    page.reload()
    expect(page.locator(".facts .state")).to_be_visible()
    only_what_may_be(page)


def ask(page: Page, server: Server, text: str) -> str:
    body = {"template_id": "basic_chat_v1", "input": text}
    return str(page.request.post(f"{server.base_url}/api/v1/generate", data=body).json()["request_id"])


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_in_the_history(open_page: OpenPage, server: Server, scripts: bool) -> None:
    page = open_page("/history", java_script_enabled=scripts)
    for group in GROUPS:
        page.goto(f"/history/{ask(page, server, text_of(group))}")
        expect(page.locator(".facts .state")).to_be_visible()
        if scripts:
            only_what_may_be(page)
    # Their first words are in the title, the list and the form.
    for text in SCRIPTS if scripts else []:
        request_id = ask(page, server, text)
        page.goto(f"/history/{request_id}")
        expect(page.locator("h1 bdi")).to_be_visible()
    page.goto(f"/?from={ask(page, server, SCRIPTS[0])}")
    expect(page.locator("#field-input")).to_have_value(SCRIPTS[0])
    page.goto("/history")
    expect(page.locator(".rows tbody tr").first).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_markdown_or_plain_text_and_copy_is_exact(open_page: OpenPage, server: Server, scripts: bool) -> None:
    options: dict[str, Any] = {"java_script_enabled": scripts}
    page = open_page("/history", **options)
    page.goto(f"/history/{ask(page, server, '# Title' + chr(10) * 2 + '**bold**  `x`')}")
    expect(page.locator(".markdown strong")).to_have_text("bold")
    expect(page.locator("#output")).to_be_hidden()
    page.get_by_label("Plain text").check()
    expect(page.locator(".markdown")).to_be_hidden()
    expect(page.locator("#output")).to_be_visible()
    assert page.text_content("#output") == "Answer to: # Title\n\n**bold**  `x`"
    page.get_by_label("Markdown").check()
    expect(page.locator("#output")).to_be_hidden()
    if scripts:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.base_url)
        page.click("text=Copy >> nth=0")
        expect(page.locator("text=Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == "Answer to: # Title\n\n**bold**  `x`"
