"""A model's text as Markdown: which HTML it may become, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, TypeVar

import pytest
from flask.testing import FlaskClient

from llm_service.app import create_app, services_of
from llm_service.bootstrap.settings import Settings
from llm_service.web.pages import MAX_CHARS_ON_LOOP
from llm_service.web.pages.markdown import (
    ATTRIBUTES,
    MAX_BRACKETS,
    MAX_CHARS,
    MAX_MARKS,
    TAGS,
    link_host,
    to_html,
    too_long,
)
from tests.support.effort import turns
from tests.support.hostile import EVERYTHING, IMAGES, LINKS, NO_LINKS, SCRIPTS, UNITS
from tests.support.requests import GENERATE as URL

# Put before a text to make it Markdown.
BESIDE = "**x**\n\n"


# What we put around code and tables, whatever is in them.
OURS: list[tuple[str, dict[str, str | None]]] = [
    ("div", {"class": "code-block"}),
    ("div", {"class": "code-head"}),
    ("button", {"type": "button", "class": "quiet needs-js", "data-copy-code": None}),
    ("pre", {"tabindex": "0", "role": "group", "aria-label": "HTML"}),
    ("pre", {"tabindex": "0", "role": "group", "aria-label": "Code"}),
    ("div", {"class": "scroll", "tabindex": "0", "role": "group", "aria-label": "Table"}),
]


class Elements(HTMLParser):
    """The elements of a fragment with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def elements(text: str) -> Elements:
    html = to_html(BESIDE + text)
    assert html is not None
    return Elements(html)


def links(text: str) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in elements(text).found if tag == "a"]


@pytest.mark.parametrize("text", EVERYTHING)
def test_only_what_is_allowed_comes_of_it(text: str) -> None:
    for tag, attributes in elements(text).found:
        if (tag, attributes) in OURS:
            continue
        assert tag in TAGS
        assert attributes.keys() <= ATTRIBUTES.get(tag, set()) | ({"rel"} if tag == "a" else set())


@pytest.mark.parametrize("text", SCRIPTS)
def test_html_is_shown_as_it_was_written(text: str) -> None:
    """People can read the text in angle brackets."""
    shown = elements(text).text
    for name in ("script", "img", "iframe", "form", "meta", "hx-get", "onerror"):
        assert (name in text) is (name in shown)


@pytest.mark.parametrize("text", NO_LINKS)
def test_what_is_no_address_of_the_web_is_no_link(text: str) -> None:
    assert links(text) == []


@pytest.mark.parametrize("text", IMAGES)
def test_an_image_is_its_description(text: str) -> None:
    assert "what it shows" in elements(text).text
    assert "src" not in str(elements(text).found)


@pytest.mark.parametrize(("text", "host"), [pair for pair in LINKS.items() if pair[1]])
def test_a_link_says_where_it_leads(text: str, host: str) -> None:
    assert [link["rel"] for link in links(text)] == ["noopener noreferrer nofollow"]
    assert f"({host})" in elements(text).text


def test_an_autolink_does_not_repeat_its_host() -> None:
    assert elements("<https://example.org/a>").text.count("example.org") == 1


@pytest.mark.parametrize("address", ["https://a.b@c.d/", "https://a.b:80@c.d", "https://a.b\\@c.d", "ftp://a.b", "https://", "https://a..b", "https://a.b:123456/", " https://a.b"])  # fmt: skip
def test_addresses_without_a_plain_host(address: str) -> None:
    assert link_host(address) is None


def test_common_markdown() -> None:
    html = to_html(
        "# Title\n\nA **word**, _another_, ~~gone~~ and `code`.\nNext line\n\n- one\n  - two\n\n3. three\n\n"
        "```\nprint(1 < 2)\n```\n\n> said\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n\n---\n"
    )
    for part in ("<h3>Title</h3>", "<strong>word</strong>", "<em>another</em>", "<s>gone</s>", "<code>code</code>",
                 "<br>\nNext line", '<ol start="3">', "<code>print(1 &lt; 2)",
                 "<blockquote>", '<td align="right">2</td>', "<hr>"):  # fmt: skip
        assert part in str(html)


@pytest.mark.parametrize(
    ("text", "levels"),
    [("# a\n\n## b", "34"), ("### a\n\n# b\n\n### c", "334"), ("# a\n\n### b\n\n###### c\n\n## d", "3454")],
)
def test_headings_skip_no_level(text: str, levels: str) -> None:
    assert "".join(tag[1] for tag, _ in elements(text).found if tag[0] == "h") == levels


def test_code_has_its_language_and_a_button() -> None:
    html = str(to_html("```py\nx = 1  # it's\n```"))
    assert '<span>Python</span><button type="button" class="quiet needs-js" data-copy-code>Copy</button>' in html
    assert 'aria-label="Python"><code class="language-python">x = <span class="n">1</span>' in html
    assert Elements(html).text.strip().endswith("x = 1  # it's")


def test_a_language_that_is_not_known_is_named_and_plain() -> None:
    html = str(to_html("```brainfuck\n+[1]\n```"))
    assert "<span>brainfuck</span>" in html
    assert '<code class="language-brainfuck">+[1]\n</code>' in html


def test_tasks_are_checkboxes_that_nobody_can_change() -> None:
    found = elements("- [x] done\n- [ ] open\n- [x]no task\n\n1. [X] loose\n\n2. x").found
    boxes = [attributes for tag, attributes in found if tag == "input"]
    common = {"type": "checkbox", "disabled": None}
    done = {**common, "checked": None, "aria-label": "Done"}
    assert boxes == [done, {**common, "aria-label": "Not done"}, done]


@pytest.mark.parametrize(
    "text", [*EVERYTHING, '<li class="task done">', '<pre><code class="language-x">', "<table>", "</pre>"]
)
def test_no_text_makes_what_we_build(text: str) -> None:
    """Only a block of code, a table or a task has it around it: not text that looks like one, wherever it is."""
    for inside in (
        text,
        f"`{text}`",
        f"[a](https://a.b/{text})",
        f"[a]({text})",
        f"# {text}",
        f"- {text}",
        f"a|b\n-|-\n{text}|c",
    ):
        found = elements(inside).found
        count = {tag: sum(tag == other for other, _ in found) for tag in ("button", "pre", "input", "table", "div")}
        assert count["button"] == count["pre"] == sum(attributes.get("class") == "code-head" for _, attributes in found)
        assert count["div"] == 2 * count["pre"] + count["table"]
        assert count["input"] == 0
        code = elements(f"```\n{text.replace('```', '')}\n```").found
        assert [tag for tag, _ in code] == ["p", "strong", "div", "div", "span", "button", "pre", "code"]


@pytest.mark.parametrize("text", ["", "Plain.", "Two\nlines & a half", "1 < 2 \\* 3", "a\n\nb", "&amp;"])
def test_plain_text_stays_plain(text: str) -> None:
    assert to_html(text) in (None, text)


@pytest.mark.parametrize("text", ["*x* " + "a" * MAX_CHARS, "*x*" + "[" * (MAX_BRACKETS + 1), "*x*\n\n" + "|a" * (MAX_BRACKETS + 1), "*a* " * (MAX_MARKS // 2 + 1), "*x*\n\n" + "a\n" * MAX_MARKS])  # fmt: skip
def test_slow_texts_stay_plain(text: str) -> None:
    assert too_long(text)
    assert to_html(text) is None


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_no_text_takes_long(unit: str) -> None:
    """Each is as long as it may be, which is where it takes longest."""
    repeats = [MAX_CHARS // len(unit), *(limit // unit.count(mark) for mark in "\n*_`~[]<|" if mark in unit for limit in (MAX_MARKS, MAX_BRACKETS))]  # fmt: skip
    text = max((unit * count for count in repeats if not too_long(unit * count)), key=len, default="")
    assert turns(lambda: to_html(text)) < 60_000_000, "a second"


@pytest.mark.parametrize("text", [">" * 5000, "- " * 5000, "[" * 5000, "*" * 50_000, "".join(" " * n + "- a\n" for n in range(300))])  # fmt: skip
def test_nesting_is_limited(text: str) -> None:
    """Elements are nested at most 20 levels deep, however deep the text is."""
    html = to_html(text) or ""
    assert max(html.count("<blockquote>"), html.count("<ul>") - html.count("</ul>")) <= 20


def generated(client: FlaskClient, text: str) -> str:
    body = {"template_id": "basic_chat_v1", "input": text}
    return str(client.post(URL, json=body).get_json()["request_id"])


def test_pages_show_markdown_and_the_original_text(upstream_app: Any) -> None:
    client = upstream_app.test_client()
    request_id = generated(client, "x\n\n# A title\n\n**bold** <b>")
    for page in (client.get(f"/history/{request_id}").text, client.get(f"/?from={request_id}").text):
        assert "<h3>A title</h3>" in page
        assert 'value="markdown" checked' in page
        assert 'id="output" dir="auto">Answer to: x\n\n# A title\n\n**bold** &lt;b&gt;</div>' in page
    assert client.get(f"/history/{request_id}/output.txt").text == "Answer to: x\n\n# A title\n\n**bold** <b>"


T = TypeVar("T")


def test_pages_format_long_texts_in_a_thread(make_app: Any) -> None:
    """A short one is formatted at once: the thread would cost more."""
    app, in_thread = make_app(), list[Callable[[], object]]()

    def recording(function: Callable[[], T]) -> T:
        in_thread.append(function)
        return services_of(app).in_thread(function)

    services = replace(services_of(app), in_thread=recording)
    client = create_app(Settings.from_env({}), services=services).test_client()
    assert "<strong>b</strong>" in client.get(f"/history/{generated(client, '**b** ')}").text
    assert in_thread == []
    page = client.get(f"/history/{generated(client, '**b** ' + 'a' * MAX_CHARS_ON_LOOP)}").text
    assert "<strong>b</strong>" in page
    assert len(in_thread) == 1


def test_pages_explain_why_a_long_text_is_plain(make_app: Any, upstream: Any) -> None:
    app = make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal", APP_INPUT_MAX_CHARS="100000")
    client = app.test_client()
    page = client.get(f"/history/{generated(client, '**b** ' * 12_000)}").text
    assert "Too long to format; showing plain text." in page
    assert "<strong>" not in page
