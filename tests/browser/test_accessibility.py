"""Every page, in every state that it has, by axe-core in both colour schemes, wide and on a phone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import PHONE, generate
from tests.support.command_line import flask
from tests.support.keys import bearer
from tests.support.processes import Server, serving
from tests.support.upstream import Upstream

Check = Callable[[Page], None]
Visit = Callable[..., Page]
CHAT, JSON_OUTPUT = "basic_chat_v1", "extract_fields_v1"
# All that Markdown may become.
MARKDOWN = """x

# A title

A **word**, `code` and a [link](https://example.org).

- [x] done
- [ ] open

```python
def double(number: int) -> int:
    return number * 2  # a comment
```

| column | value |
|---|--:|
| one | 1 |

> said
"""
WIDE_AND_PHONE = pytest.mark.parametrize("options", [{}, PHONE], ids=["wide", "phone"])


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("accessibility")


@pytest.fixture(scope="module", name="keys")
def _keys(folder: Path) -> dict[str, str]:
    """`full` has a history, `new` has none."""
    made = {}
    for owner in ("full", "new"):
        result = flask(folder, "keys", "create", owner, "--scope", "generate,history,usage")
        assert result.returncode == 0, result.stderr
        made[owner] = result.stdout.strip()
    return made


@pytest.fixture(scope="module", name="guarded")
def _guarded(folder: Path, keys: dict[str, str], upstream: Upstream) -> Iterator[Server]:
    """A server that wants a key, so that the empty and the full state are those of two people."""
    models = "normal,echo-200,fault-500"
    with serving(
        folder, APP_AUTH="required", OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal", APP_MODELS=models
    ) as server:
        yield server


@pytest.fixture(scope="module", name="states")
def _states(browser: Browser, guarded: Server, keys: dict[str, str]) -> dict[str, Any]:
    """The cookies of each owner's browser."""
    states = {}
    for owner, key in keys.items():
        context = browser.new_context(base_url=guarded.base_url)
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text(f"Signed in as {owner}")).to_be_attached()
        states[owner] = context.storage_state()
        context.close()
    return states


@pytest.fixture(name="visit")
def _visit(browser: Browser, guarded: Server, states: dict[str, Any]) -> Iterator[Visit]:
    """Opens a page as an owner, or as nobody."""
    contexts = []

    def visit(path: str, owner: str | None = "full", **options: Any) -> Page:
        state = states[owner] if owner else None
        context = browser.new_context(
            base_url=guarded.base_url, storage_state=state, reduced_motion="reduce", **options
        )
        contexts.append(context)
        page = context.new_page()
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture(scope="module", name="entries")
def _entries(guarded: Server, browser: Browser, keys: dict[str, str]) -> dict[str, str]:
    """The request IDs of `full`'s history by what they show."""
    context = browser.new_context(base_url=guarded.base_url)

    def ask(template_id: str, text: str, **more: Any) -> str:
        body = {"template_id": template_id, "input": text, **more}
        answer = context.request.post("/api/v1/generate", data=body, headers=bearer(keys["full"]))
        return str(answer.headers["x-request-id"])

    fields = {"parameters": {"fields": ["name", "total"]}}
    made = {
        "plain": ask(CHAT, "A question"),
        "markdown": ask(CHAT, MARKDOWN),
        "json": ask(JSON_OUTPUT, "An invoice", **fields),
        "failed": ask(CHAT, "It fails", model="fault-500"),
    }
    context.close()
    return made


@WIDE_AND_PHONE
@pytest.mark.parametrize("path", ["/", "/history", "/templates", "/usage"])
def test_empty(visit: Visit, check_accessibility: Check, path: str, options: dict[str, Any]) -> None:
    check_accessibility(visit(path, "new", **options))


@WIDE_AND_PHONE
@pytest.mark.parametrize("name", ["plain", "markdown", "json", "failed"])
def test_an_answer(visit: Visit, entries: dict[str, str], check_accessibility: Check, name: str, options: Any) -> None:
    page = visit(f"/?from={entries[name]}", **options)
    check_accessibility(page)
    page.goto(f"/history/{entries[name]}")
    check_accessibility(page)


@WIDE_AND_PHONE
def test_history(visit: Visit, entries: dict[str, str], check_accessibility: Check, options: dict[str, Any]) -> None:
    page = visit("/history", **options)
    check_accessibility(page)
    for path in ("/history?q=question&status=completed", "/history?q=nothing-has-this-word"):
        page.goto(path)
        check_accessibility(page)


@WIDE_AND_PHONE
def test_usage(visit: Visit, entries: dict[str, str], check_accessibility: Check, options: dict[str, Any]) -> None:
    page = visit("/usage", **options)
    page.locator(".chart summary").first.click()
    check_accessibility(page)
    page.goto("/usage?range=24h")
    check_accessibility(page)


@WIDE_AND_PHONE
@pytest.mark.parametrize("template_id", [CHAT, JSON_OUTPUT, "answer_from_text_v1", "release_notes_v1"])
def test_templates(visit: Visit, check_accessibility: Check, template_id: str, options: dict[str, Any]) -> None:
    page = visit(f"/templates/{template_id}", **options)
    open_all(page)
    check_accessibility(page)
    page.goto(f"/?template={template_id}")
    open_all(page)
    check_accessibility(page)


def open_all(page: Page) -> None:
    """Every fold: what is closed, axe does not see. Panels over the page stay closed."""
    page.evaluate("for (const fold of document.querySelectorAll('main details:not(.confirm)')) fold.open = true")
    page.wait_for_load_state("networkidle")


@WIDE_AND_PHONE
def test_wrong_input(visit: Visit, check_accessibility: Check, options: dict[str, Any]) -> None:
    page = visit("/", **options)
    generate(page, "   ")
    expect(page.locator("#error-field-input")).not_to_be_empty()
    check_accessibility(page)


@WIDE_AND_PHONE
def test_while_an_answer_arrives(
    visit: Visit, upstream: Upstream, check_accessibility: Check, options: dict[str, Any]
) -> None:
    page = visit("/", "new", **options)
    page.select_option("#field-model", "echo-200")
    upstream.may_end.clear()
    try:
        generate(page, f"Some words that arrive {page.viewport_size}")
        expect(page.locator("[data-grows]")).not_to_be_empty()
        check_accessibility(page)
    finally:
        upstream.may_end.set()
    expect(page.locator("[data-running]")).to_have_count(0)


@WIDE_AND_PHONE
def test_compare(visit: Visit, entries: dict[str, str], check_accessibility: Check, options: dict[str, Any]) -> None:
    page = visit(f"/compare?from={entries['plain']}", **options)
    check_accessibility(page)
    page.goto(f"/compare?ids={entries['plain']},{entries['markdown']},{entries['failed']}")
    check_accessibility(page)


@WIDE_AND_PHONE
def test_the_shortcuts(visit: Visit, check_accessibility: Check, options: dict[str, Any]) -> None:
    page = visit("/", **options)
    page.evaluate("document.getElementById('shortcuts').showModal()")
    check_accessibility(page)


@pytest.mark.parametrize("path", ["/login", "/login?next=/history", "/problems/rate-limited", "/no-such-page"])
def test_signed_out(visit: Visit, check_accessibility: Check, path: str) -> None:
    check_accessibility(visit(path, None))


@WIDE_AND_PHONE
@pytest.mark.parametrize(
    "path", ["/no-such-page", "/history/no-such-entry", "/history?nonsense=1", "/problems/not-found"]
)
def test_pages_that_say_no(visit: Visit, check_accessibility: Check, path: str, options: dict[str, Any]) -> None:
    check_accessibility(visit(path, **options))


@WIDE_AND_PHONE
def test_panels_over_the_page(
    visit: Visit, entries: dict[str, str], check_accessibility: Check, options: dict[str, Any]
) -> None:
    page = visit("/history", **options)
    panels = page.locator("details.status, details.confirm")
    for index in range(panels.count()):
        panel = panels.nth(index)
        if not panel.is_visible():
            continue
        panel.locator("summary").first.click()
        expect(panel).to_have_js_property("open", True)
        page.wait_for_load_state("networkidle")
        check_accessibility(page)
        page.keyboard.press("Escape")


def test_the_notice_without_a_model(browser: Browser, tmp_path: Path, check_accessibility: Check) -> None:
    with serving(tmp_path) as server:
        context = browser.new_context(base_url=server.base_url, viewport=PHONE["viewport"])
        page = context.new_page()
        page.goto("/")
        check_accessibility(page)
        context.close()
