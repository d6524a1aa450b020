"""A request without an answer: what it would have changed says so, with Retry, and shows nothing that is not true."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import generate
from tests.support.tcp_proxy import Down, LimitData, TcpProxy
from tests.support.upstream import Upstream

OpenThrough = Callable[..., Page]


def failed(page: Page, place: str) -> Locator:
    return page.locator(f"{place} > .no-connection")


def test_generate_without_a_server(proxy: TcpProxy, open_through: OpenThrough, upstream: Upstream) -> None:
    page = open_through(proxy.port)
    calls = len(upstream.calls_of("normal"))
    proxy.use(Down())
    generate(page, "Nobody there")
    expect(failed(page, "#answer")).to_contain_text("No answer from the service")
    expect(page.locator("#field-input")).to_have_value("Nobody there")
    expect(page.locator("#generate-button")).to_be_enabled()
    expect(page.get_by_role("button", name="Try again")).to_be_focused()
    proxy.heal()
    page.keyboard.press("Enter")
    expect(page.locator("#output")).to_have_text("Answer to: Nobody there")
    expect(failed(page, "#answer")).to_have_count(0)
    assert len(upstream.calls_of("normal")) == calls + 1


def test_an_answer_that_was_lost_on_its_way_is_not_paid_twice(
    proxy: TcpProxy, open_through: OpenThrough, upstream: Upstream
) -> None:
    page = open_through(proxy.port)
    page.check("[name=fresh]")
    page.select_option("#field-model", "slow-1")
    calls = len(upstream.calls_of("slow-1"))
    proxy.use(LimitData(0))
    generate(page, "Lost on its way")
    expect(failed(page, "#answer")).to_be_visible()
    proxy.heal()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#output")).to_have_text("Answer to: Lost on its way")
    assert len(upstream.calls_of("slow-1")) == calls + 1
    # The same values once more are a new request.
    page.click("#generate-button")
    expect(page.locator("[data-running]")).to_have_count(1)
    expect(page.locator("[data-running]")).to_have_count(0)
    assert len(upstream.calls_of("slow-1")) == calls + 2


def test_another_template_without_a_server(proxy: TcpProxy, open_through: OpenThrough) -> None:
    page = open_through(proxy.port)
    page.fill("#field-input", "Typed before")
    proxy.use(Down())
    page.select_option("#template_id", "translate_v1")
    expect(failed(page, "#fields")).to_be_visible()
    expect(page.locator("#template_id")).to_have_value("basic_chat_v1")
    expect(page.locator("#field-parameters-tone")).to_be_visible()
    expect(page.locator("#field-input")).to_have_value("Typed before")
    proxy.heal()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#field-parameters-target_language")).to_be_visible()
    expect(page.locator("#template_id")).to_have_value("translate_v1")
    expect(page.locator("#template-search")).to_be_focused()
    expect(page.locator("#field-input")).to_have_value("Typed before")
    expect(failed(page, "#fields")).to_have_count(0)


def test_a_search_without_a_server(proxy: TcpProxy, open_through: OpenThrough) -> None:
    page = open_through(proxy.port)
    for text in ("A wanted teapot", "Something else"):
        generate(page, text)
        expect(page.locator("#output")).to_have_text(f"Answer to: {text}")
    page.goto("/history")
    proxy.use(Down())
    page.locator("#filter-q").focus()
    page.keyboard.type("teapot")
    expect(failed(page, "#rows")).to_be_visible()
    expect(page.locator("#rows tbody tr").first).to_be_hidden()
    proxy.heal()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    expect(page.locator("#rows tbody tr")).to_contain_text("A wanted teapot")


def test_rows_that_cannot_be_renewed_say_so_once(proxy: TcpProxy, open_through: OpenThrough) -> None:
    page = open_through(proxy.port)
    page.select_option("#field-model", "tokens-3000-400")
    generate(page, "Runs for a while")
    expect(page.locator("#output")).to_contain_text("word")
    page.goto("/history")
    proxy.use(Down())
    notice = failed(page, "#connection")
    expect(notice).to_be_visible()
    notice.evaluate("(notice) => { notice.dataset.first = ''; }")
    with page.expect_event("requestfailed"):
        pass
    page.wait_for_timeout(200)
    expect(notice).to_have_attribute("data-first", "")  # an alert that is put in again is read again
    proxy.heal()
    expect(notice).to_have_count(0)


class BadGateway(BaseHTTPRequestHandler):
    """As a proxy whose service is away."""

    def do_POST(self) -> None:
        page = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
        self.send_response(502)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(page)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(name="gateway")
def _gateway() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), BadGateway) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        yield gateway.server_port
        gateway.shutdown()


def test_the_page_of_a_proxy_is_not_an_answer(proxy: TcpProxy, open_through: OpenThrough, gateway: int) -> None:
    page = open_through(proxy.port)
    service = proxy.target
    page.select_option("#field-model", "tokens-20-5")
    generate(page, "Behind a proxy")
    expect(page.locator("#output")).to_contain_text("word word")
    proxy.target = gateway
    proxy.use(Down())
    proxy.heal()
    expect(page.get_by_text("Reconnecting")).to_be_visible()
    page.select_option("#template_id", "summarize_v1")
    expect(failed(page, "#fields")).to_be_visible()
    expect(page.get_by_text("Bad Gateway")).to_have_count(0)
    proxy.target = service
    expect(page.locator("#output")).to_have_text(("word " * 20).strip())


def test_stop_without_a_server(proxy: TcpProxy, open_through: OpenThrough) -> None:
    page = open_through(proxy.port)
    page.select_option("#field-model", "tokens-40-5")
    generate(page, "Stopped late")
    expect(page.locator("#output")).to_contain_text("word word")
    proxy.use(Down())
    page.click("#stop-button")
    expect(failed(page, "#connection")).to_be_visible()
    proxy.heal()
    failed(page, "#connection").get_by_role("button", name="Try again").click()
    expect(page.locator("[data-running]")).to_have_count(0)
    expect(page.locator("#recent tbody tr").first).to_contain_text("stopped")
    expect(failed(page, "#connection")).to_have_count(0)


def test_offline_and_back(proxy: TcpProxy, open_through: OpenThrough) -> None:
    page = open_through(proxy.port, "/usage")
    banner = page.get_by_text("You are offline.")
    expect(banner).to_be_hidden()
    page.context.set_offline(True)
    expect(banner).to_be_visible()
    page.context.set_offline(False)
    expect(banner).to_be_hidden()
