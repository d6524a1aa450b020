"""The history in a browser: search, rows that run, stars and tags, selections, and the way through its entries.

Longer than other modules: a journey is told from its beginning to its end.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, generate
from tests.support.tcp_proxy import Down, TcpProxy

OpenPage = Callable[..., Page]


def ask(page: Page, text: str, model: str = "normal") -> str:
    body = {"template_id": "basic_chat_v1", "input": text, "model": model}
    answer = page.request.post("/api/v1/generate", data=body)
    return str(answer.json()["request_id"])


def titles(page: Page) -> list[str]:
    return page.locator(".rows .words a").all_text_contents()


def test_the_history_is_searched_while_typing(open_page: OpenPage) -> None:
    page = open_page()
    for text in ("A needle <b>here</b>", "Only hay"):
        generate(page, text)
        expect(page.locator("#output")).to_have_text(f"Answer to: {text}")
    page.goto("/history")
    page.locator("#filter-q").focus()
    page.keyboard.type("needle")
    expect(page.locator(".rows mark").first).to_have_text("needle")
    expect(page.locator(".rows")).not_to_contain_text("hay")
    expect(page).to_have_url(re.compile(r"/history\?q=needle$"))
    page.select_option("#filter-status", "failed")
    expect(page.locator("#rows")).to_contain_text("No results")
    page.select_option("#filter-status", "")
    expect(page).to_have_url(re.compile(r"/history\?q=needle$"))
    expect(page.locator(".rows mark").first).to_have_text("needle")
    assert page.locator(".exports a").nth(2).get_attribute("href") == "/history/export.csv?q=needle&bom=1"
    page.reload()
    expect(page.locator("#filter-q")).to_have_value("needle")


def test_the_history_is_searched_without_javascript(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.fill("#field-input", "A thimble")
    page.click("#generate-button")
    page.goto("/history")
    page.fill("#filter-q", "thim*")
    page.keyboard.press("Enter")
    expect(page.locator(".rows mark").first).to_have_text("thimble")
    page.click("text=Clear filters")
    expect(page).to_have_url(re.compile("/history$"))


def test_a_search_waits_for_the_end_of_a_composition(open_page: OpenPage) -> None:
    """Each step of an input method fired a search of its own."""
    page = open_page("/history")
    ask(page, "漢字 を探す")
    page.reload()
    searches: list[str] = []
    page.on("request", lambda request: searches.append(request.url) if "/history/rows" in request.url else None)
    page.locator("#filter-q").focus()
    keyboard = page.context.new_cdp_session(page)
    for step in ("k", "か", "かn", "かん"):
        keyboard.send("Input.imeSetComposition", {"text": step, "selectionStart": len(step), "selectionEnd": len(step)})
        page.wait_for_timeout(350)
    assert searches == []
    keyboard.send("Input.insertText", {"text": "漢字"})
    expect(page.locator(".rows mark").first).to_have_text("漢字")
    assert len(searches) == 1


def test_a_row_tells_what_it_cost_and_why_it_failed_and_is_a_link(open_page: OpenPage) -> None:
    page = open_page("/history")
    ask(page, "Zebra that answers")
    ask(page, "Zebra that answers")
    ask(page, "Zebra that fails", "fault-500")
    page.goto("/history?q=zebra")
    expect(page.locator(".bar .found").first).to_have_text("3 generations")
    failed, cached, first = page.locator(".rows tbody tr").all()
    expect(failed.locator(".badge")).to_have_text("failed")
    expect(failed.locator(".why")).to_have_text("Model provider error")
    expect(failed).to_contain_text("fault-500")
    expect(cached.locator(".badge")).to_have_text("cached")
    expect(first.locator(".badge")).to_have_count(0)  # what is usual is not said
    expect(first.locator("time")).to_have_text("just now")
    expect(first.locator("time")).to_have_attribute("title", re.compile(r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
    first.locator("td").nth(3).click(force=True)  # what is clicked is the link that covers the row
    expect(page.locator("h1")).to_have_text("Zebra that answers")
    expect(page).to_have_url(re.compile(r"/history/[0-9a-f-]+\?q=zebra$"))


def test_a_row_that_runs_ends_on_its_own(open_page: OpenPage) -> None:
    page = open_page()
    page.select_option("#field-model", "tokens-20-5")
    generate(page, "Okapi on the run")
    expect(page.locator("#output")).to_contain_text("word")
    page.goto("/history?q=")
    row = page.locator(".rows tbody tr", has_text="Okapi on the run").first
    expect(row.locator(".badge")).to_have_text("running")
    other = page.locator("[name=id]").last
    other.check()
    expect(row.locator(".badge")).to_have_count(0)
    expect(row).not_to_contain_text("running")
    expect(other).to_be_checked()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(2500)
    assert requests == [], "nothing runs: nobody asks"


def test_a_row_that_ends_while_the_server_is_away_is_shown_when_it_is_back(
    proxy: TcpProxy, open_through: Callable[..., Page]
) -> None:
    page = open_through(proxy.port)
    page.select_option("#field-model", "tokens-20-5")
    page.check("[name=fresh]")
    generate(page, "Puffin in the dark")
    expect(page.locator("#output")).to_contain_text("word")
    page.goto("/history")
    row = page.locator(".rows tbody tr", has_text="Puffin in the dark").first
    expect(row.locator(".badge")).to_have_text("running")
    proxy.use(Down())
    expect(page.locator("#connection .no-connection")).to_be_visible()
    proxy.heal()
    expect(row.locator(".badge")).to_have_count(0)
    expect(page.locator("#connection .no-connection")).to_have_count(0)


def test_without_scripts_there_is_nothing_that_scripts_do(open_page: OpenPage) -> None:
    page = open_page("/history", java_script_enabled=False)
    ask(page, "By hand")
    page.goto("/history")
    page.locator(".rows [name=id]").first.check()
    expect(page.locator("#select-all")).to_be_hidden()
    expect(page.locator(".picked .found")).to_have_text("Generations selected")


@pytest.mark.parametrize("script", [True, False])
def test_a_star_is_set_in_the_row_and_found_again(open_page: OpenPage, script: bool) -> None:
    word = f"gnu{script}"
    page = open_page("/history", java_script_enabled=script)
    for number in range(3):
        ask(page, f"{word} {number}")
    page.goto(f"/history?q={word}")
    page.locator(".rows .star").nth(1).click()
    star = page.locator(".rows .star").nth(1)
    expect(star).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile(rf"/history\?q={word}$"))
    if script:
        expect(star).to_be_focused()
    page.goto(f"/history?q={word}&starred=true")
    assert titles(page) == [f"{word} 1"]
    page.locator(".rows .words a").click()
    page.locator(".entry .star").click()
    expect(page.locator(".entry .star")).to_have_attribute("aria-pressed", "false")
    page.goto(f"/history?q={word}&starred=true")
    expect(page.locator("#rows")).to_contain_text("No results")


@pytest.mark.parametrize("script", [True, False])
def test_tags_are_edited_at_an_entry_and_lead_to_their_like(open_page: OpenPage, script: bool) -> None:
    tag = f"<b> 獅子 {script}"
    page = open_page("/history", java_script_enabled=script)
    for text in ("A lion", "Not a lion"):
        request_id = ask(page, f"{text} {script}")
    page.goto(f"/history/{request_id}?status=completed")
    page.click("text=Add tags")
    page.fill("#tags", f"to  check, {tag},, to check")
    page.click("button:has-text('Save')")
    expect(page.locator(".marks .tag")).to_have_text([tag, "to check"])
    expect(page).to_have_url(re.compile(rf"/history/{request_id}\?status=completed$"))
    page.click(f".marks .tag:has-text('{tag}')")
    assert titles(page) == [f"Not a lion {script}"]
    expect(page.locator("#filter-tag option:checked")).to_have_text(f"{tag} (1)")
    expect(page.locator(".rows .tag").first).to_have_text(tag)
    page.locator(".rows .words a").click()
    page.click("text=Edit tags")
    page.fill("#tags", "")
    page.click("button:has-text('Save')")
    expect(page.locator(".marks .tag")).to_have_count(0)


@pytest.mark.parametrize("script", [True, False])
def test_selected_rows_are_exported_and_deleted(open_page: OpenPage, script: bool) -> None:
    word = f"heron{script}"
    page = open_page("/history", java_script_enabled=script)
    for number in range(4):
        ask(page, f"{word} {number} 鷺")
    page.goto(f"/history?q={word}")
    expect(page.locator(".bar .picked")).to_be_hidden()
    for number in (0, 2):
        page.locator(".rows [name=id]").nth(number).check()
    bar = page.locator(".bar .picked")
    expect(bar).to_be_visible()
    if script:
        expect(bar.locator(".found")).to_have_text("2 selected")
    bar.locator("summary", has_text="Export").click()
    with page.expect_download() as download:
        bar.locator("button", has_text="CSV").click()
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbfrequest_id")
    assert [f"{word} {number} 鷺".encode() in content for number in range(4)] == [False, True, False, True]
    bar.locator("summary", has_text="Delete").click()
    page.click("button:has-text('Delete selected')")
    expect(page.locator(".done")).to_have_text("2 generations deleted.")
    assert titles(page) == [f"{word} 2 鷺", f"{word} 0 鷺"]
    expect(page).to_have_url(re.compile(rf"\?q={word}" + ("$" if script else "&notice=deleted&count=2$")))


@pytest.mark.parametrize("script", [True, False])
def test_selected_rows_are_compared(open_page: OpenPage, script: bool) -> None:
    word = f"manatee{script}"
    page = open_page("/history", java_script_enabled=script)
    for number in range(3):
        ask(page, f"{word} {number}")
    page.goto(f"/history?q={word}")
    page.locator(".rows [name=id]").first.check()
    button = page.locator(".picked button", has_text="Compare")
    if script:
        expect(button).to_be_disabled()
    else:
        button.click()
        expect(page.locator("[data-notice]")).to_have_text("Select 2 to 4 generations to compare.")
        page.locator(".rows [name=id]").first.check()
    page.locator(".rows [name=id]").last.check()
    button.click()
    expect(page).to_have_url(re.compile(r"/compare\?ids=[0-9a-f-]+,[0-9a-f-]+$"))
    for number in (0, 2):
        expect(page.locator("main")).to_contain_text(f"Answer to: {word} {number}")


def test_all_of_a_page_are_selected_with_one_click(open_page: OpenPage) -> None:
    page = open_page("/history")
    for number in range(3):
        ask(page, f"ibis {number}")
    page.goto("/history?q=ibis")
    whole, boxes = page.locator("#select-all"), page.locator(".rows [name=id]")
    whole.check()
    expect(page.locator(".rows [name=id]:checked")).to_have_count(3)
    expect(page.locator(".picked .found")).to_have_text("3 selected")
    boxes.first.uncheck()
    expect(page.locator(".picked .found")).to_have_text("2 selected")
    assert whole.evaluate("box => box.indeterminate")
    page.locator("#filter-q").fill("ibis 1")
    expect(page.locator(".rows tbody tr")).to_have_count(1)
    expect(page.locator(".bar .picked")).to_be_hidden()
    expect(page.locator("#announced")).to_have_text("1 generation")


def test_an_entry_leads_to_those_beside_it_in_the_same_list(open_page: OpenPage) -> None:
    page = open_page("/history")
    for number in range(3):
        ask(page, f"jackal {number}")
        ask(page, f"other {number}")
    page.goto("/history?q=jackal")
    page.locator(".rows .words a").nth(1).click()
    expect(page.locator("h1")).to_have_text("jackal 1")
    page.click("text=Previous")
    expect(page.locator("h1")).to_have_text("jackal 2")
    expect(page.locator(".beside a")).to_have_text(["Next"])
    page.click("text=Next")
    page.click("text=Next")
    expect(page.locator("h1")).to_have_text("jackal 0")
    page.locator("summary", has_text="Delete").click()
    page.locator(".panel button", has_text="Delete").click()
    expect(page.locator(".done")).to_have_text("1 generation deleted.")
    expect(page).to_have_url(re.compile(r"/history\?q=jackal$"))
    assert titles(page) == ["jackal 2", "jackal 1"]


def test_the_last_day_is_included(open_page: OpenPage) -> None:
    page = open_page("/history")
    ask(page, "koala of today")
    page.goto("/history?q=koala")
    day = (page.locator("time").first.get_attribute("datetime") or "")[:10]
    page.locator("#filter-until").fill(day)
    expect(page).to_have_url(re.compile(rf"until={day}$"))
    expect(page.locator(".rows tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.locator(".bar summary").first.click()
        page.click(".exports a:has-text('JSONL')")
    assert "koala of today" in Path(download.value.path()).read_text()


def test_the_history_on_a_phone(open_page: OpenPage, check_accessibility: Callable[[Page], None]) -> None:
    page = open_page("/history", **PHONE)
    for number in range(12):
        ask(page, f"lemur {number} " + "long words " * 20, "fault-500" if number == 3 else "normal")
    page.goto("/history?q=lemur&status=failed")
    expect(page.locator(".chip")).to_have_count(2)
    page.click(".chip:has-text('failed')")
    expect(page.locator(".rows tbody tr")).to_have_count(12)
    page.locator(".rows [name=id]").last.check()
    bar = page.locator(".bar .picked")
    expect(bar).to_be_in_viewport()
    check_accessibility(page)
    bar.locator("summary", has_text="Export").click()
    expect(bar.locator(".exports")).to_be_in_viewport(ratio=0.9)
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 320, "height": 700})
    for opened in ("body", ".clear summary"):
        page.locator(opened).click(position={"x": 1, "y": 1})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.keyboard.press("Escape")
    page.locator(".rows .words a").first.click()
    page.click("text=Add tags")
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
