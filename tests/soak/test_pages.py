"""A page while the network is away for a minute: `make soak`."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.support.browser import Watch, generate
from tests.support.processes import needed_program, serving
from tests.support.tcp_proxy import Down, TcpProxy, Timeout, Toxic
from tests.support.upstream import Upstream

pytestmark = pytest.mark.soak
CUT_S = 60
# Of eighty seconds, so that it goes on when the network is back, and of ten, so that it has ended.
LONG, SHORT = "tokens-400-5", "tokens-50-5"


@pytest.fixture(name="open_page")
def _open_page(tmp_path: Path, upstream: Upstream) -> Iterator[Callable[[], tuple[Page, TcpProxy]]]:
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_MODEL": "normal", "APP_MODELS": f"normal,{LONG},{SHORT}"}
    with (
        serving(tmp_path, **settings) as server,
        TcpProxy(int(server.base_url.rpartition(":")[2])) as proxy,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=needed_program("chromium"), args=["--no-sandbox"])
        page = browser.new_page(base_url=f"http://127.0.0.1:{proxy.port}")
        watch = Watch(page, f"http://127.0.0.1:{proxy.port}", network_may_fail=True)
        yield lambda: (page, proxy)
        browser.close()
        assert watch.wrong == []


@pytest.mark.parametrize("toxic", [Down(), Timeout()], ids=["refused", "silent"])
@pytest.mark.parametrize(("model", "words"), [(LONG, 400), (SHORT, 50)], ids=["goes on", "ended meanwhile"])
def test_a_minute_without_a_network(
    open_page: Callable[[], tuple[Page, TcpProxy]], upstream: Upstream, toxic: Toxic, model: str, words: int
) -> None:
    page, proxy = open_page()
    page.goto("/")
    page.select_option("#field-model", model)
    calls = len(upstream.calls_of(model))
    generate(page, "A minute")
    output = page.locator("#output")
    expect(output).to_contain_text("word word word")
    proxy.use(toxic)
    began = time.monotonic()
    expect(page.get_by_text("Reconnecting")).to_be_visible(timeout=40_000)
    shown = output.text_content() or ""
    assert shown
    time.sleep(CUT_S - (time.monotonic() - began))
    assert output.text_content() == shown
    proxy.heal()
    # The longest pause between two tries, and the rest of the answer.
    expect(page.locator("[data-running]")).to_have_count(0, timeout=60_000)
    expect(output).to_have_text(("word " * words).strip())
    assert len(upstream.calls_of(model)) == calls + 1
