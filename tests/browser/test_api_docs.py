"""Swagger UI in a real browser: readable in both schemes, accessible, fetched once."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE

OpenPage = Callable[..., Page]
GENERATE = "#operations-generate-generate"
LIST = "#operations-history-listHistory"


def open_docs(open_page: OpenPage, **options: object) -> Page:
    page = open_page("/docs", **options)
    expect(page.locator(GENERATE)).to_be_visible()
    return page


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_the_scheme_is_the_readers(open_page: OpenPage, scheme: str, is_dark: bool) -> None:
    page = open_docs(open_page, color_scheme=scheme)
    level = "([place, name]) => parseInt(getComputedStyle(document.querySelector(place))[name].match(/[0-9]+/)[0])"
    assert (page.evaluate(level, ["body", "backgroundColor"]) < 128) == is_dark
    assert (page.evaluate(level, [f"{GENERATE} .opblock-summary-path", "color"]) > 128) == is_dark
    page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    expect(page.locator("html.dark-mode")).to_have_count(0 if is_dark else 1)


@pytest.mark.parametrize("options", [{}, PHONE])
def test_what_is_open_is_accessible(
    open_page: OpenPage, check_accessibility: Callable[[Page], None], options: dict[str, object]
) -> None:
    page = open_docs(open_page, **options)
    check_accessibility(page)
    for place in (GENERATE, LIST):
        page.locator(f"{place} .opblock-summary-control").click()
        expect(page.locator(f"{place} .opblock-body")).to_be_visible()
    page.locator("section.models button").first.click()
    expect(page.get_by_role("textbox", name="Request body")).to_be_visible()
    check_accessibility(page)


def test_an_address_opens_its_operation(open_page: OpenPage) -> None:
    page = open_page("/docs#/history/listHistory")
    expect(page.locator(f"{LIST} .opblock-body")).to_be_visible()


def test_the_second_visit_fetches_almost_nothing(open_page: OpenPage) -> None:
    page = open_docs(open_page)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    fetched: list[int] = []
    network.on("Network.loadingFinished", lambda event: fetched.append(event["encodedDataLength"]))
    page.goto("/templates")
    del fetched[:]
    page.goto("/docs")
    expect(page.locator(GENERATE)).to_be_visible()
    assert sum(fetched) < 5000, fetched


def test_without_scripts_it_leads_to_the_document(open_page: OpenPage) -> None:
    page = open_page("/docs", java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("API docs")
    expect(page.get_by_role("main").get_by_role("link", name="/openapi.json")).to_be_visible()
