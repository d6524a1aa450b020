"""A real Chromium against a real gunicorn."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.accessibility import violations
from tests.support.browser import Watch
from tests.support.processes import Server, needed_program, serving
from tests.support.tcp_proxy import TcpProxy
from tests.support.upstream import Upstream

# Turn off Chromium's own network services; root needs --no-sandbox.
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip

# The bound of every wait: it only ends a test that would hang.
WAIT_MS = 30_000


@pytest.fixture(scope="session", name="browser")
def _browser() -> Iterator[Browser]:
    path = needed_program("chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Server]:
    """A server in front of the test provider, with a few of its models allowed."""
    models = "normal,slow-1,tokens-20-5,tokens-3000-400,tokens-40-5,echo-200,fault-500"
    folder = tmp_path_factory.mktemp("browser")
    with serving(folder, OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal", APP_MODELS=models) as server:
        yield server


# Reports violations that leave no line in the console, too.
REPORT_VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`violation of ${event.effectiveDirective}: ${event.blockedURI}`));"""


@pytest.fixture(name="open_page")
def _open_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Opens pages in contexts of their own. Fails at the end if a page did what it must never do."""
    contexts, watches = [], []

    def open_page(path: str = "/", **options: Any) -> Page:
        context = browser.new_context(base_url=server.base_url, **options)
        context.set_default_timeout(WAIT_MS)
        context.add_init_script(REPORT_VIOLATIONS)
        page = context.new_page()
        contexts.append(context)
        watches.append(Watch(page, server.base_url))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [wrong for watch in watches for wrong in watch.wrong] == []


@pytest.fixture(name="check_accessibility")
def _check_accessibility() -> Callable[[Page], None]:
    """Fails with each element that breaks a rule of WCAG 2.2 AA, or a best practice, in either colour scheme."""

    def check(page: Page) -> None:
        found = violations(page)
        assert found == [], "\n\n".join([page.url, *found])

    return check


@pytest.fixture(name="proxy")
def _proxy(server: Server) -> Iterator[TcpProxy]:
    with TcpProxy(urlsplit(server.base_url).port or 0) as proxy:
        yield proxy


@pytest.fixture(name="open_through")
def _open_through(browser: Browser) -> Iterator[Callable[[int], Page]]:
    """Opens the page behind a port, where requests may fail."""
    contexts, watches = [], []

    def open_through(port: int, path: str = "/") -> Page:
        origin = f"http://127.0.0.1:{port}"
        context = browser.new_context(base_url=origin)
        context.set_default_timeout(20_000)
        page = context.new_page()
        contexts.append(context)
        watches.append(Watch(page, origin, network_may_fail=True))
        page.goto(path)
        return page

    yield open_through
    for context in contexts:
        context.close()
    assert [wrong for watch in watches for wrong in watch.wrong] == []
