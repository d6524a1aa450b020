"""How pages look: colours by choice, the notice, the top bar at 320 px, print."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.support.browser import generate
from tests.support.processes import Server, serving

OpenPage = Callable[..., Page]
SMALLEST: dict[str, ViewportSize] = {"viewport": {"width": 320, "height": 640}}
PAGES = ("/", "/templates", "/history", "/usage", "/login", "/problems/not-found", "/no-such-page")
IS_DARK = "getComputedStyle(document.body).backgroundColor === 'rgb(20, 22, 26)'"


@pytest.fixture(scope="module", name="echo")
def _echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a model, which says so on its pages."""
    with serving(tmp_path_factory.mktemp("echo")) as server:
        yield server


def choose(page: Page, label: str) -> None:
    page.locator("summary", has_text="Colours").click()
    page.get_by_role("button", name=label).click()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_colours_are_as_the_system_or_as_chosen(open_page: OpenPage, scripts: bool) -> None:
    options: dict[str, Any] = {"java_script_enabled": scripts, "color_scheme": "light"}
    page = open_page("/usage?range=7d", **options)
    assert not page.evaluate(IS_DARK)
    choose(page, "Dark")
    page.wait_for_function(IS_DARK)
    expect(page.locator("[data-themes] [aria-pressed=true]")).to_have_text("Dark")
    assert page.url.endswith("/usage?range=7d")
    page.wait_for_load_state("networkidle")
    page.goto("/history")
    assert page.evaluate(IS_DARK), "the server sends it: no flash, and no script needed"
    choose(page, "As the system")
    page.wait_for_function(f"!({IS_DARK})")
    page.wait_for_load_state("networkidle")
    page.reload()
    assert not page.evaluate(IS_DARK)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(IS_DARK)
    assert page.context.cookies() == []


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_the_notice_is_dismissed_for_good(browser: Browser, echo: Server, scripts: bool) -> None:
    context = browser.new_context(base_url=echo.base_url, java_script_enabled=scripts, **SMALLEST)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/templates")
    notice = page.get_by_role("complementary", name="Notice")
    box = notice.bounding_box()
    assert box
    assert box["height"] < 90
    page.get_by_role("button", name="Dismiss").click()
    expect(notice).to_have_count(0)
    page.wait_for_load_state("networkidle")
    page.goto("/")
    expect(notice).to_have_count(0)
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_nothing_hangs_out_at_320_px(open_page: OpenPage, path: str) -> None:
    """As on the smallest phone, and as at 1,280 px with a zoom of 400 %."""
    page = open_page(path, **SMALLEST)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bar = page.locator(".topbar").bounding_box()
    assert bar
    assert bar["height"] <= 104, "two rows"


def test_the_place_in_the_navigation_moves_no_neighbour(open_page: OpenPage) -> None:
    lefts = []
    for path in ("/", "/templates", "/history", "/usage"):
        page = open_page(path)
        lefts.append(page.eval_on_selector_all(".nav a", "(links) => links.map((link) => link.offsetLeft)"))
    assert all(left == lefts[0] for left in lefts)


def test_print_has_what_there_is_to_read(open_page: OpenPage) -> None:
    page = open_page("/", color_scheme="dark")
    generate(page, "x\n\n```\n" + "a long line " * 40 + "\n```\n")
    code = page.locator(".markdown pre")
    expect(code).to_be_visible()
    page.emulate_media(media="print")
    for hidden in (".topbar", "#generate-form", "button", ".recent"):
        expect(page.locator(hidden).locator("visible=true")).to_have_count(0)
    assert page.locator("#answer").evaluate("(answer) => answer.clientWidth > innerWidth * 0.8")
    assert code.evaluate("(pre) => pre.scrollWidth <= pre.clientWidth && pre.scrollHeight <= pre.clientHeight + 2")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_moving_less(open_page: OpenPage) -> None:
    page = open_page("/", reduced_motion="reduce")
    moving = page.evaluate("document.getAnimations().filter((it) => it.playState === 'running').length")
    assert moving == 0


SENT = """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
  .reduce((sum, entry) => sum + entry.transferSize, 0)"""
# All shifts since the page began to load.
SHIFTS = """() => new Promise((resolve) => new PerformanceObserver((list) =>
  resolve(list.getEntries().reduce((sum, entry) => sum + entry.value, 0))).observe({ type: "layout-shift", buffered: true })
  || setTimeout(() => resolve(0), 300))"""
MAX_FIRST_BYTES, MAX_REPEATED_BYTES, MAX_SHIFT = 60_000, 15_000, 0.01


@pytest.mark.parametrize("path", ["/", "/history", "/usage", "/templates", "/templates/basic_chat_v1"])
def test_pages_are_light_and_stand_still(open_page: OpenPage, path: str) -> None:
    """`open_page` fails for requests to other servers."""
    page = open_page(path)
    page.wait_for_load_state("networkidle")
    assert page.evaluate(SENT) <= MAX_FIRST_BYTES
    assert page.evaluate(SHIFTS) < MAX_SHIFT
    page.goto(path)
    page.wait_for_load_state("networkidle")
    assert page.evaluate(SENT) <= MAX_REPEATED_BYTES
    assert page.evaluate(SHIFTS) < MAX_SHIFT


def test_the_code_of_an_answer_is_copied_exactly(open_page: OpenPage, server: Server) -> None:
    page = open_page("/")
    generate(page, "x\n\n```python\ndef double(x):\n    return x * 2  # <b>\n```\n")
    button = page.locator(".code-block [data-copy-code]")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.base_url)
    button.click()
    expect(button).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "def double(x):\n    return x * 2  # <b>\n"
    expect(button).to_have_text("Copy")
