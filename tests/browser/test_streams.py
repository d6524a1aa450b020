"""A running generation while the network is cut, the server dies, or nothing comes: the text stays, and its rest arrives."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.support.browser import generate
from tests.support.processes import Server, free_port, serving, stop
from tests.support.tcp_proxy import Down, TcpProxy, Timeout
from tests.support.upstream import Upstream

OpenPage = Callable[..., Page]
# Five words a second, for eight seconds.
SLOW, WHOLE = "tokens-40-5", ("word " * 40).strip()


def begin(page: Page, text: str, model: str = SLOW) -> str:
    page.select_option("#field-model", model)
    generate(page, text)
    expect(page.locator("#output")).to_contain_text("word word")
    return str(page.locator("[data-running]").get_attribute("data-running"))


def words_of(page: Page) -> int:
    return len((page.text_content("#output") or "").split())


def test_a_cut_of_three_seconds_loses_nothing(
    proxy: TcpProxy, open_through: Callable[..., Page], upstream: Upstream
) -> None:
    page = open_through(proxy.port)
    calls = len(upstream.calls_of(SLOW))
    resumed: list[str] = []
    page.on("request", lambda request: resumed.append(request.headers.get("last-event-id", "")))
    begin(page, "Cut for three seconds")
    proxy.use(Down())
    expect(page.get_by_text("Reconnecting")).to_be_visible()
    before = words_of(page)
    assert before >= 2, "the text stays"
    expect(page.locator("[data-stop], #stop-button").locator("visible=true").first).to_be_visible()
    time.sleep(3)
    assert words_of(page) == before
    proxy.heal()
    expect(page.locator("#output")).to_contain_text("word " * (before + 1), timeout=8_000)
    expect(page.get_by_text("Reconnecting")).to_be_hidden()
    expect(page.locator("[data-running]")).to_have_count(0)
    expect(page.locator("#output")).to_have_text(WHOLE)
    assert len(upstream.calls_of(SLOW)) == calls + 1
    assert [text for text in resumed if text and int(text) >= len("word word ")], "only the rest was asked for"


def test_an_answer_that_ended_while_the_network_was_cut(proxy: TcpProxy, open_through: Callable[..., Page]) -> None:
    page = open_through(proxy.port)
    begin(page, "Ends while away", "tokens-20-5")
    proxy.use(Down())
    expect(page.get_by_text("Reconnecting")).to_be_visible()
    time.sleep(4)
    proxy.heal()
    page.get_by_role("button", name="Try now").dispatch_event("click")
    expect(page.locator("[data-running]")).to_have_count(0, timeout=3_000)
    expect(page.locator("#output")).to_have_text(("word " * 20).strip())
    expect(page.locator("#generate-button")).to_be_enabled()


def test_a_silent_connection_counts_as_broken(proxy: TcpProxy, open_through: Callable[..., Page]) -> None:
    page = open_through(proxy.port)
    page.clock.install()
    begin(page, "Nothing passes")
    proxy.use(Timeout())
    page.clock.fast_forward(26_000)
    expect(page.get_by_text("Reconnecting")).to_be_visible()
    assert words_of(page) >= 2
    proxy.heal()
    expect(page.locator("#output")).to_have_text(WHOLE)


def test_the_server_is_killed_and_starts_again(
    tmp_path: Path, upstream: Upstream, open_through: Callable[..., Page]
) -> None:
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_MODEL": "normal", "APP_MODELS": f"normal,{SLOW}"}
    port = free_port()
    with serving(tmp_path, PORT=str(port), **settings) as first:
        page = open_through(port)
        begin(page, "Dies half-way")
        for worker in first.workers():
            first.process.send_signal(signal.SIGSTOP)  # it must not start another worker
            os.kill(worker, signal.SIGKILL)
        os.kill(first.process.pid, signal.SIGKILL)
        stop(first.process)
        expect(page.get_by_text("Reconnecting")).to_be_visible()
        received = words_of(page)
    with serving(tmp_path, PORT=str(port), **settings):
        expect(page.locator("[data-running]")).to_have_count(0)
        expect(page.locator(".answer")).to_contain_text("interrupted")
        assert words_of(page) == received, "the text that was received stays"
        expect(page.locator("#generate-button")).to_be_visible()


def test_a_deleted_generation_ends_the_tries(
    proxy: TcpProxy, open_through: Callable[..., Page], server: Server
) -> None:
    page = open_through(proxy.port)
    request_id = begin(page, "Deleted meanwhile")
    proxy.use(Down())
    expect(page.get_by_text("Reconnecting")).to_be_visible()
    received = words_of(page)
    page.request.delete(f"{server.base_url}/api/v1/history/{request_id}")
    proxy.heal()
    expect(page.get_by_text("The rest of the answer is not available")).to_be_visible()
    assert words_of(page) == received
    expect(page.locator("[data-running]")).to_have_count(0)
    expect(page.locator("#generate-button")).to_be_visible()


def test_where_no_history_is_kept(tmp_path: Path, upstream: Upstream, open_through: Callable[..., Page]) -> None:
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_MODEL": "normal", "APP_MODELS": "normal,tokens-20-5"}
    with (
        serving(tmp_path, APP_HISTORY="off", **settings) as server,
        TcpProxy(int(server.base_url.rpartition(":")[2])) as proxy,
    ):
        page = open_through(proxy.port)
        begin(page, "Not kept", "tokens-20-5")
        proxy.use(Down())
        expect(page.get_by_text("Reconnecting")).to_be_visible()
        proxy.heal()
        expect(page.locator("[data-running]")).to_have_count(0)
        expect(page.locator("#output")).to_have_text(("word " * 20).strip())
