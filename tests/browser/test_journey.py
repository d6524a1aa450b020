"""The main user journeys, with and without JavaScript.

Longer than other modules: a journey is told from its beginning to its end.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, generate
from tests.support.upstream import Upstream, asked_of

OpenPage = Callable[..., Page]


def test_the_whole_journey(open_page: OpenPage, upstream: Upstream) -> None:
    page = open_page()
    marker = page.evaluate("window.here = Math.random()")
    page.select_option("#field-parameters-tone", "simple")
    page.select_option("#field-model", "slow-1")
    generate(page, "What is a journey?")

    expect(page.locator(".waiting")).to_be_visible()
    expect(page.locator("#generate-button")).to_be_hidden()
    expect(page.locator("#stop-button")).to_be_visible()
    expect(page.locator("[data-elapsed]")).not_to_have_text("0.0")

    expect(page.locator("#output")).to_have_text("Answer to: What is a journey?")
    expect(page.locator(".waiting")).to_have_count(0)
    expect(page.locator("#stop-button")).to_be_hidden()
    expect(page.locator("#generate-button")).to_be_enabled()
    expect(page.locator(".facts .state")).to_have_text("new")
    expect(page.locator("#recent tbody tr").first).to_contain_text("What is a journey?")
    expect(page.locator("#field-input")).to_have_value("What is a journey?")

    page.click("#generate-button")
    expect(page.locator(".facts .state")).to_have_text("cached")
    expect(page.locator(".facts")).to_contain_text(", $0, ")
    assert len([call for call in upstream.calls_of("slow-1") if asked_of(call["body"]) == "What is a journey?"]) == 1
    assert page.evaluate("window.here") == marker, "the page was never loaded again"

    page.click("text=System prompt")
    expect(page.locator("#system-prompt")).to_contain_text("simple tone")

    page.click("text=All history")
    page.locator(".rows .words a").first.click()
    expect(page.locator("h1")).to_have_text("What is a journey?")
    with page.expect_download() as download:
        page.click("text=Download")
    assert Path(download.value.path()).read_text() == "Answer to: What is a journey?"
    assert download.value.suggested_filename.startswith("generation-")

    page.goto("/history")
    with page.expect_download() as download:
        page.locator(".bar summary:has-text('Export')").first.click()
        page.click(".exports a:has-text('JSON')")
    items = json.loads(Path(download.value.path()).read_text())["items"]
    assert [item["cached"] for item in items if item["input"] == "What is a journey?"] == [True, False]

    page.click("text=Delete entire history")
    page.click("text=Delete everything")
    expect(page.locator("main")).to_contain_text("No generations yet")


def test_an_error_is_shown_and_the_text_stays(open_page: OpenPage) -> None:
    page = open_page()
    generate(page, "   ")
    expect(page.locator(".problem")).to_contain_text('Enter some text in "Input".')
    expect(page.locator("#error-field-input")).to_have_text('Enter some text in "Input".')
    expect(page.locator("#field-input")).to_have_attribute("aria-invalid", "true")
    page.select_option("#field-model", "fault-500")
    generate(page, "Keep me")
    expect(page.locator(".problem")).to_contain_text("Model provider error")
    expect(page.locator("#error-field-input")).to_be_empty()
    expect(page.locator("#field-input")).to_have_value("Keep me")
    page.select_option("#field-model", "")
    page.click("button:has-text('Try again')")
    expect(page.locator("#output")).to_have_text("Answer to: Keep me")


def test_templates_change_in_place_and_the_payload_follows(open_page: OpenPage) -> None:
    page = open_page()
    page.fill("#field-input", "Some text")
    page.select_option("#template_id", "summarize_v1")
    expect(page.locator("#field-parameters-tone")).to_have_count(0)
    expect(page.locator("#field-input")).to_have_value("Some text")
    page.click("#payload-fold summary")
    expect(page.locator("#payload-json")).to_contain_text('"template_id": "summarize_v1"')
    page.fill("#field-input", "Some more text")
    expect(page.locator("#payload-json")).to_contain_text("Some more text")
    page.click("text=Advanced")
    page.fill("#field-parameters_json", '{"nope": 1}')
    page.click("#generate-button")
    expect(page.locator(".problem")).to_contain_text("is not a parameter of this template")


def test_keyboard(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "field-input":
            break
    expect(page.locator("#field-input")).to_be_focused()
    page.keyboard.type("By keyboard")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#output")).to_have_text("Answer to: By keyboard")
    page.locator(".status summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#status-panel")).to_contain_text("normal")
    page.keyboard.press("Escape")
    expect(page.locator("#status-panel")).to_be_hidden()
    expect(page.locator(".status summary").first).to_be_focused()


def test_copy(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    generate(page, "Copy me")
    page.click(".answer .tools [data-copy=output]")
    expect(page.locator(".answer .tools [data-copy=output]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "Answer to: Copy me"


def test_without_javascript(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.fill("#field-input", "No script")
    page.select_option("#template_id", "summarize_v1")
    page.click("text=Load template")
    expect(page.locator("#field-input")).to_have_value("No script")
    page.click("#generate-button")
    expect(page.locator("#output")).to_contain_text("No script")
    expect(page.locator(".needs-js").first).to_be_hidden()
    page.fill("#field-input", "  ")
    page.click("#generate-button")
    expect(page.locator("#error-field-input")).to_have_text('Enter some text in "Input".')
    page.click("nav >> text=History")
    page.locator(".rows .words a").first.click()
    page.click("summary:has-text('Delete')")
    page.click("button:has-text('Delete')")
    expect(page.locator("h1")).to_have_text("History")


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)><a hx-get=/history hx-trigger=load>x</a>"
)


@pytest.mark.parametrize("script", [True, False])
def test_hostile_text_does_nothing(open_page: OpenPage, script: bool) -> None:
    page = open_page(java_script_enabled=script)
    generate(page, HOSTILE + " </textarea>" + "![x](https://evil.example/?q=1)")
    expect(page.locator("#output")).to_contain_text("<script>alert(1)</script>")
    page.goto("/history")
    page.locator(".rows .words a").first.click()
    expect(page.locator("#output")).to_contain_text("onerror")
    page.wait_for_timeout(200)


PATHS = ["/", "/history", "/templates", "/templates/basic_chat_v1", "/problems/upstream-tls", "/docs", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_on_a_phone(open_page: OpenPage, path: str, scheme: str) -> None:
    page = open_page(path, color_scheme=scheme, **PHONE)
    page.wait_for_load_state("networkidle")
    if path != "/docs":  # Swagger UI's tables are its own
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_a_word_without_end_does_not_widen_the_page(open_page: OpenPage) -> None:
    page = open_page(**PHONE)
    generate(page, "w" * 3000)
    expect(page.locator("#output")).to_contain_text("www")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.goto("/history")
    page.locator(".rows .words a").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_swagger_ui_tries_it_out(open_page: OpenPage) -> None:
    page = open_page("/docs")
    expect(page.locator("#operations-templates-summarize_v1")).to_be_visible()
    expect(page.locator("#operations-templates-generateWithTemplate")).to_have_count(0)
    block = page.locator("#operations-generate-generate")
    block.locator("button.opblock-summary-control").click()
    block.locator("button.execute").click()
    expect(block.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
    expect(block.locator(".live-responses-table")).to_contain_text("Answer to")


SLOW = "tokens-20-5"
WHOLE = ("word " * 20).strip()


def test_the_answer_streams_and_a_reload_or_return_joins_it(open_page: OpenPage, upstream: Upstream) -> None:
    page = open_page()
    page.select_option("#field-model", SLOW)
    generate(page, "Grow and be joined")
    expect(page.locator("#output")).to_contain_text("word word")
    expect(page.locator("[data-characters]")).not_to_have_text("0")
    page.reload()
    expect(page.locator("#output")).to_contain_text("word word word")
    expect(page.locator("#stop-button")).to_be_visible()
    page.goto("/history")
    page.goto("/")
    expect(page.locator("#output")).to_contain_text("word word word word")
    expect(page.locator("#field-input")).to_have_value("Grow and be joined")
    expect(page.locator(".facts .state")).to_have_text("new")
    expect(page.locator("#output")).to_have_text(WHOLE)
    assert len([call for call in upstream.calls_of(SLOW) if asked_of(call["body"]) == "Grow and be joined"]) == 1


def test_stop_keeps_the_partial_answer_and_the_typed_text(open_page: OpenPage) -> None:
    page = open_page()
    page.select_option("#field-model", SLOW)
    page.fill("#field-input", "Stop this one")
    page.press("#field-input", "Control+Enter")
    expect(page.locator("#output")).to_contain_text("word word")
    page.click("#stop-button")
    expect(page.locator(".note")).to_contain_text("Stopped")
    expect(page.locator("#output")).to_contain_text("word word")
    expect(page.locator("#field-input")).to_have_value("Stop this one")
    expect(page.locator("#generate-button")).to_be_visible()
    expect(page.locator("#recent tbody tr").first).to_contain_text("stopped")


def test_a_running_generation_is_joined_from_the_history(open_page: OpenPage) -> None:
    page = open_page()
    page.select_option("#field-model", SLOW)
    generate(page, "Seen from the history")
    request_id = page.locator("[data-running]").get_attribute("data-running")
    page.goto(f"/history/{request_id}")
    expect(page.locator("#output")).to_contain_text("word word word")
    expect(page.locator("#output")).to_have_text(WHOLE)


def test_stop_without_javascript(open_page: OpenPage) -> None:
    scripted = open_page()
    scripted.select_option("#field-model", SLOW)
    generate(scripted, "Stopped without scripts")
    request_id = scripted.locator("[data-running]").get_attribute("data-running")
    page = open_page(f"/history/{request_id}", java_script_enabled=False)
    page.click("[data-stop]")
    expect(page.locator(".facts .state")).to_have_text("stopped")


def test_the_preview_updates_while_typing_and_calls_no_model(open_page: OpenPage, upstream: Upstream) -> None:
    page = open_page()
    before = len(upstream.calls)
    page.click("#preview-fold > summary")
    expect(page.locator("#preview")).to_contain_text("Fix these first:")
    page.fill("#field-input", "Preview me")
    expect(page.locator("#preview")).to_contain_text("Preview me")
    page.select_option("#field-parameters-tone", "professional")
    expect(page.locator("#preview")).to_contain_text("professional tone")
    page.fill("#field-input", "Preview me again")
    expect(page.locator("#preview")).to_contain_text("Preview me again")
    assert len(upstream.calls) == before
    page.click("#generate-button")
    expect(page.locator("#output")).to_have_text("Answer to: Preview me again")
    expect(page.locator("#preview")).to_contain_text("cache ($0)")
    page.select_option("#template_id", "summarize_v1")
    expect(page.locator("#preview")).to_contain_text("Summarize this text")


def test_sliders_and_counters_show_their_values(open_page: OpenPage) -> None:
    page = open_page("/?template=explain_code_v1")
    slider = page.locator("#field-parameters-max_points")
    expect(page.locator("output[for=field-parameters-max_points]")).to_have_text("5")
    slider.focus()
    slider.press("ArrowRight")
    expect(page.locator("output[for=field-parameters-max_points]")).to_have_text("6")
    page.fill("#field-parameters-language", "Python")
    expect(page.locator("[data-count=field-parameters-language]")).to_contain_text("6 of 40 characters")


@pytest.mark.parametrize("options", [{}, {"java_script_enabled": False}, PHONE], ids=["desk", "no script", "phone"])
def test_an_answer_in_json_is_a_table(open_page: OpenPage, options: dict[str, object]) -> None:
    page = open_page("/?template=meeting_actions_v1", **options)
    generate(page, "Ann fixes the login.")
    expect(page.locator(".structured table")).to_contain_text("some words")
    page.click("text=Raw output")
    expect(page.locator("#output")).to_contain_text('"actions"')
    width = page.evaluate("document.documentElement.scrollWidth") if options != {"java_script_enabled": False} else 0
    assert width <= 1280
