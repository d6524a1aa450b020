"""The workbench: what is always in sight, where the focus is, which keys do what, and what the answer is called."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, generate

OpenPage = Callable[..., Page]

SLOW = "tokens-20-5"
SMALL = {"viewport": {"width": 1280, "height": 720}}
FOCUSED = "document.activeElement.id || document.activeElement.textContent"
LONG = "A long line of text.\n" * 400


def in_sight(page: Page, selector: str) -> bool:
    """Whether a click in its middle would meet it."""
    return bool(
        page.locator(selector).evaluate(
            """(element) => {
              const box = element.getBoundingClientRect();
              return element.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
            }"""
        )
    )


@pytest.mark.parametrize("size", [SMALL, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("script", [True, False], ids=["scripts", "no scripts"])
def test_what_one_presses_is_in_sight(open_page: OpenPage, size: dict[str, object], script: bool) -> None:
    page = open_page("/?template=email_reply_v1", java_script_enabled=script, **size)
    page.fill("#field-input", LONG)
    assert page.locator("#field-input").bounding_box()["height"] < 400  # type: ignore[index]
    for selector in ("#generate-button", "#field-model", "[name=fresh]"):
        expect(page.locator(selector)).to_be_in_viewport(ratio=1)
    if script:
        assert in_sight(page, "#generate-button")


def test_the_action_bar_is_one_row_where_there_is_room(open_page: OpenPage) -> None:
    page = open_page("/?template=email_reply_v1", viewport={"width": 640, "height": 360})  # 1280 x 720 at 200 %
    assert page.locator("#action-bar").bounding_box()["height"] < 64  # type: ignore[index]


def test_stop_is_as_wide_as_generate(open_page: OpenPage) -> None:
    page = open_page()
    page.select_option("#field-model", SLOW)
    left = page.locator("#field-model").bounding_box()
    generate(page, "Nothing moves")
    expect(page.locator("#stop-button")).to_be_visible()
    assert page.locator("#field-model").bounding_box() == left


def test_stop_and_copy_are_in_sight_of_a_long_answer(open_page: OpenPage) -> None:
    page = open_page(**SMALL)
    generate(page, LONG[:4900])
    expect(page.locator(".facts .state")).to_be_visible()
    page.locator(".answer-pane").evaluate("(pane) => pane.scrollTo(0, pane.scrollHeight)")
    assert in_sight(page, ".answer [data-copy=output]")
    assert in_sight(page, "#generate-button")
    assert page.evaluate("document.scrollingElement.scrollTop") == 0


def test_an_answer_is_outdated_while_its_inputs_differ(open_page: OpenPage) -> None:
    page = open_page()
    generate(page, "First")
    mark = page.locator(".answer .outdated")
    expect(page.locator(".facts .state")).to_be_visible()
    expect(mark).to_be_hidden()
    page.fill("#field-input", "Second")
    expect(mark).to_be_visible()
    page.fill("#field-input", "First")
    expect(mark).to_be_hidden()
    page.select_option("#field-parameters-tone", "simple")
    expect(mark).to_be_visible()
    page.click("#generate-button")
    expect(page.locator("#output")).to_have_text("Answer to: First")
    expect(mark).to_be_hidden()


def test_the_focus_goes_to_the_first_wrong_field_and_its_message_leaves(open_page: OpenPage) -> None:
    page = open_page("/?template=meeting_actions_v1", **SMALL)
    page.fill("#field-input", "Notes")
    page.fill("#field-parameters-meeting_date", "soon")
    page.fill("#field-parameters-participants", " Ana\nx" + "y" * 200)
    page.click("#generate-button")
    expect(page.locator("#field-parameters-meeting_date")).to_be_focused()
    message = page.locator("#error-field-parameters-meeting_date")
    expect(message).to_have_text("Must look like 2026-11-24")
    page.fill("#field-parameters-meeting_date", "2026-11-24")
    expect(message).to_be_empty()
    expect(page.locator("#field-parameters-meeting_date")).not_to_have_attribute("aria-invalid", "true")
    expect(page.locator(".faults li")).to_have_count(1)
    expect(page.locator(".answer .empty")).to_be_hidden()
    page.fill("#field-parameters-participants", "Ana")
    expect(page.locator(".answer .problem")).to_be_hidden()
    expect(page.locator(".answer .empty")).to_be_visible()
    expect(page.get_by_role("heading", name="Answer", exact=True)).to_have_count(1)


def test_the_first_wrong_field_of_a_phone_is_seen_with_its_label(open_page: OpenPage) -> None:
    page = open_page("/?template=meeting_actions_v1&example=1", **PHONE)
    page.fill("#field-parameters-meeting_date", "soon")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.click("#generate-button")
    expect(page.locator("#field-parameters-meeting_date")).to_be_focused()
    expect(page.locator("label[for=field-parameters-meeting_date]")).to_be_in_viewport(ratio=1)


def test_a_parameter_that_the_template_lacks_is_said_at_the_json(open_page: OpenPage) -> None:
    page = open_page()
    page.click("text=Advanced")
    page.fill("#field-parameters_json", '{"nope": 1}')
    page.click("text=Advanced")
    generate(page, "Hello")
    expect(page.locator("#field-parameters_json")).to_be_focused()
    expect(page.locator("#error-field-parameters_json")).to_contain_text('"nope" is not a parameter of this template')


def test_the_focus_follows_a_generation(open_page: OpenPage) -> None:
    page = open_page()
    page.select_option("#field-model", SLOW)
    page.fill("#field-input", "Where is the focus?")
    page.focus("#generate-button")
    page.keyboard.press("Enter")
    expect(page.locator("#stop-button")).to_be_focused()
    expect(page.locator("#output")).to_contain_text("word word")
    page.keyboard.press("Enter")
    expect(page.locator(".note")).to_contain_text("Stopped.")
    assert page.locator(".problem, button:has-text('Try again')").count() == 0
    expect(page.locator("#field-input")).to_be_focused()
    page.select_option("#field-model", "")
    page.focus("#generate-button")
    page.keyboard.press("Enter")
    expect(page.locator(".facts .state")).to_have_text("new")
    assert page.evaluate(FOCUSED) == "Answer"
    expect(page.locator("#announcement")).to_have_text("The answer is complete.")


def test_keys_generate_and_stop(open_page: OpenPage) -> None:
    page = open_page()
    page.select_option("#field-model", SLOW)
    page.fill("#field-input", "By keys")
    page.press("#field-input", "ControlOrMeta+Enter")
    expect(page.locator("#stop-button")).to_be_visible()
    expect(page.locator("#field-input")).to_be_focused()
    page.locator(".status summary").first.click()
    page.keyboard.press("Escape")
    expect(page.locator("#stop-button")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".note")).to_contain_text("Stopped.")


def test_enter_in_a_line_does_not_generate(open_page: OpenPage) -> None:
    for script in (True, False):
        page = open_page("/?template=meeting_actions_v1", java_script_enabled=script)
        page.fill("#field-input", "Some notes")
        page.press("#field-parameters-meeting_date", "Enter")
        expect(page.locator(".answer .empty")).to_be_visible()
        expect(page.locator("#field-input")).to_have_value("Some notes")


def test_keys_of_a_composition_do_nothing(open_page: OpenPage) -> None:
    page = open_page()
    page.fill("#field-input", "日本")
    page.evaluate(
        """() => {
          for (const init of [{ isComposing: true }, { keyCode: 229 }]) {
            const event = new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true, ...init });
            document.getElementById("field-input").dispatchEvent(event);
          }
        }"""
    )
    page.wait_for_timeout(200)
    expect(page.locator(".answer .empty")).to_be_visible()


def test_the_list_of_shortcuts(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.press("?")
    dialog = page.locator("#shortcuts")
    expect(dialog).to_contain_text("Generate")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("#field-input")).to_be_focused()
    page.keyboard.type("/?")
    expect(page.locator("#field-input")).to_have_value("/?")
    page.click(".keys")
    page.uncheck("#single-keys")
    page.keyboard.press("Escape")
    page.goto("/usage")
    page.keyboard.press("?")
    expect(dialog).to_be_hidden()
    page.click(".keys")
    expect(dialog).not_to_contain_text("Stop")
    expect(dialog.locator(".has-target").first).to_be_hidden()


@pytest.mark.parametrize("size", [SMALL, PHONE], ids=["desk", "phone"])
def test_the_stream_is_followed_until_the_reader_scrolls_up(open_page: OpenPage, size: dict[str, object]) -> None:
    page = open_page(**size)
    page.select_option("#field-model", "tokens-3000-400")
    generate(page, f"Follow me on {size}")
    below = """document.querySelector(".answer").getBoundingClientRect().bottom - innerHeight"""
    page.wait_for_function("() => document.querySelector('#output')?.textContent.length > 3000")
    page.wait_for_function(f"() => {below} < 60")
    expect(page.locator("#jump-button")).to_be_hidden()
    page.mouse.move(size["viewport"]["width"] - 100, 300)  # type: ignore[index]
    page.mouse.wheel(0, -400)
    expect(page.locator("#jump-button")).to_be_visible()
    page.wait_for_timeout(300)
    assert page.evaluate(below) > 200
    page.click("#jump-button")
    expect(page.locator("#jump-button")).to_be_hidden()
    page.wait_for_timeout(300)
    page.wait_for_function(f"() => {below} < 60")
    # The first step of a smooth scroll is small.
    page.evaluate("""() => {
      const pane = document.querySelector(".answer-pane");
      (pane.scrollTop ? pane : window).scrollBy(0, -8);
    }""")
    expect(page.locator("#jump-button")).to_be_visible()
    page.click("#stop-button")


def test_run_again_skips_the_cache_and_may_ask_another_model(open_page: OpenPage) -> None:
    page = open_page()
    generate(page, "Run me again")
    expect(page.locator(".facts .state")).to_have_text("new")
    page.click("#generate-button")
    expect(page.locator(".facts .state")).to_have_text("cached")
    page.click(".tools >> text=Run again")
    expect(page.locator(".facts .state")).to_have_text("new")
    page.click(".tools .menu:not(.spread) summary")
    page.click(".tools .menu:not(.spread) button:has-text('slow-1')")
    expect(page.locator(".facts > summary")).to_contain_text("slow-1")
    page.click(".tools >> text=Open")
    page.click(".tools >> text=Run again")
    expect(page.locator(".facts > summary")).to_contain_text("new")
    expect(page.locator("#field-model")).to_have_value("slow-1")


def test_an_answer_in_json_is_downloaded_as_json(open_page: OpenPage) -> None:
    page = open_page("/?template=meeting_actions_v1")
    generate(page, "Ann fixes the login.")
    with page.expect_download() as download:
        page.click(".tools >> text=Download")
    assert download.value.suggested_filename.endswith(".json")
    assert Path(download.value.path()).read_text().startswith("{")


def test_another_template_changes_the_action_bar(open_page: OpenPage) -> None:
    page = open_page()
    page.select_option("#field-model", "slow-1")
    page.check("[name=fresh]")
    page.select_option("#template_id", "summarize_v1")
    expect(page.locator("#field-parameters-tone")).to_have_count(0)
    expect(page.locator("#field-model")).to_have_value("slow-1")
    expect(page.locator("[name=fresh]")).to_be_checked()


def test_a_failure_says_the_same_after_a_reload(open_page: OpenPage) -> None:
    page = open_page()
    page.select_option("#field-model", "fault-500")
    generate(page, "This fails")
    expect(page.locator(".problem")).to_contain_text("Model provider error")
    words = page.locator(".problem").inner_text()
    assert "text below" not in words
    page.locator("#recent a >> nth=1").click()
    assert page.locator(".problem").inner_text().split("\n")[:2] == words.split("\n")[:2]
