"""A model's Markdown as HTML. The text is untrusted.

Two independent layers: markdown-it renders with HTML disabled (`html: False`), and nh3 keeps only the elements and
attributes listed here. The result loads nothing: images become their descriptions, and links show their host.
Around code, tables and tasks we then put elements of our own, which no text can make.
"""

import re
from collections.abc import Sequence
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

from .highlight import CLASSES, LANGUAGES, Highlighter, language_of
from .labels import CODE_LABEL, COPY_LABEL, TABLE_LABEL, TASK_LABELS

# Longer texts, or texts with more of the marks that become elements, stay plain: the worst text found takes 0.5 s.
MAX_CHARS = 60_000
MAX_MARKS = 10_000
MARKS = "\n*_`~[]<|"
# These cost the most.
MAX_BRACKETS = 5_000
BRACKETS = "[|"
MAX_NESTING = 20
# A host of plain letters and no user name that could look like one: the host shown is where a click leads.
_LINK = re.compile(r"https?://((?:[a-z0-9-]+\.)*[a-z0-9-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?=[/?#]|$)", re.IGNORECASE)
_LANGUAGE = re.compile(r"language-[A-Za-z0-9+#._-]{1,40}")
_ALIGNED = {"text-align:left": "left", "text-align:center": "center", "text-align:right": "right"}
# The page uses h1 and h2.
_HEADINGS_BELOW = 2
_TASK = re.compile(r"\[([ xX])\] ")
_TASK_CLASSES = {"task": False, "task done": True}
# What the cleaner writes; an attribute has no "<" (see `_keep`).
_BLOCKS = re.compile(r'<pre><code(?: class="language-([^"]+)")?>|</pre>|</?table>|<li class="(task(?: done)?)">')
# Tokens that look the same as plain text.
_PLAIN = frozenset({"paragraph_open", "paragraph_close", "inline", "text", "softbreak", "text_special"})

TAGS = frozenset(
    {"p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6"}
    | {"table", "thead", "tbody", "tr", "th", "td", "a", "small", "span"}
)
ATTRIBUTES = {
    "a": {"href"}, "code": {"class"}, "li": {"class"}, "ol": {"start"}, "span": {"class"}, "th": {"align"}, "td": {"align"}
}  # fmt: skip


def to_html(text: str) -> Markup | None:
    """The formatted text; None if it would look the same as plain text, or is `too_long`."""
    if too_long(text):
        return None
    markdown = _markdown()
    tokens = markdown.parse(text)
    if _is_plain(tokens):
        return None
    _adapt(tokens)
    cleaned = _cleaner().clean(markdown.renderer.render(tokens, markdown.options, {"highlighter": Highlighter()}))
    return Markup(_BLOCKS.sub(_build_around, cleaned))  # noqa: S704 - cleaned


def too_long(text: str) -> bool:
    """Whether it would take too long to format."""
    return (
        len(text) > MAX_CHARS
        or sum(map(text.count, MARKS)) > MAX_MARKS
        or any(text.count(bracket) > MAX_BRACKETS for bracket in BRACKETS)
    )


def link_host(address: str) -> str | None:
    """The host that a browser would contact; None if this is not a plain web address."""
    match = _LINK.match(address)
    return match[1].lower() if match else None


@cache
def _markdown() -> MarkdownIt:
    # Line breaks stay: models write lists of short lines, and poems.
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "xhtmlOut": False, "maxNesting": MAX_NESTING})
    markdown.enable(["table", "strikethrough"])
    markdown.validateLink = _may_be_link  # type: ignore[method-assign]
    markdown.add_render_rule("image", _render_image)
    markdown.add_render_rule("link_close", _render_link_close)
    markdown.add_render_rule("fence", _render_code)
    markdown.add_render_rule("code_block", _render_code)
    return markdown


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_keep,
        url_schemes={"http", "https"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )


def _may_be_link(url: str) -> bool:
    return link_host(url) is not None


def _keep(tag: str, attribute: str, value: str) -> str | None:
    """nh3 alone would keep `title` and `lang` on every element."""
    if (tag, attribute) == ("a", "rel"):
        return value  # nh3's own
    if (
        attribute not in ATTRIBUTES.get(tag, ())
        or "<" in value
        or (attribute == "class" and not _may_class(tag, value))
    ):
        return None
    return value


def _may_class(tag: str, value: str) -> bool:
    if tag == "code":
        return _LANGUAGE.fullmatch(value) is not None
    return value in (_TASK_CLASSES if tag == "li" else CLASSES.values())


def _is_plain(tokens: Sequence[Token]) -> bool:
    return all(token.type in _PLAIN and _is_plain(token.children or ()) for token in tokens)


def _adapt(tokens: Sequence[Token]) -> None:
    """Move headings below the page's own; align columns by attribute, because the CSP forbids style attributes."""
    above: list[int] = []
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            level = int(token.tag[1:])
            # One level at a time, whichever the text skips.
            above = [*(upper for upper in above if upper < level), level]
            token.tag = tokens[index + 2].tag = f"h{min(6, len(above) + _HEADINGS_BELOW)}"
        elif token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs["align"] = _ALIGNED[str(token.attrs.pop("style"))]
        elif token.type == "list_item_open":
            _mark_task(token, tokens[index + 1 : index + 3])


def _mark_task(item: Token, inside: Sequence[Token]) -> None:
    """`- [x] text`: a class for now; the checkbox comes after the cleaner."""
    words = inside[1].children if [token.type for token in inside] == ["paragraph_open", "inline"] else None
    found = _TASK.match(words[0].content) if words and words[0].type == "text" else None
    if words and found:
        words[0].content = words[0].content[found.end() :]
        item.attrs["class"] = "task" if found[1] == " " else "task done"


def _render_code(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[index]
    language, info = language_of(token.info), token.info.split(maxsplit=1)
    head = f' class="language-{escapeHtml(language or info[0])}"' if info else ""
    return f"<pre><code{head}>{env['highlighter'].to_html(token.content, language)}</code></pre>\n"


def _build_around(found: re.Match[str]) -> str:
    """The replacement for an element of the cleaned text. Only the name of a language is not our own text."""
    element, language, task = found[0], found[1], found[2]
    if task:
        checked = _TASK_CLASSES[task]
        name = TASK_LABELS[checked]
        return f'<li class="task"><input type="checkbox" disabled{" checked" if checked else ""} aria-label="{name}">'
    if element == "<table>":
        return f'<div class="scroll" tabindex="0" role="group" aria-label="{TABLE_LABEL}"><table>'
    if element.startswith("</"):
        return f"{element}</div>"
    named = LANGUAGES.get(language, language) or CODE_LABEL
    return (
        f'<div class="code-block"><div class="code-head"><span>{named}</span>'
        f'<button type="button" class="quiet needs-js" data-copy-code>{COPY_LABEL}</button></div>'
        f'<pre tabindex="0" role="group" aria-label="{named}">{element.removeprefix("<pre>")}'
    )


def _render_image(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    described = renderer.renderInlineAsText(tokens[index].children, options, env)
    return escapeHtml(described or "image")


def _render_link_close(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    opening = next(token for token in reversed(tokens[:index]) if token.type == "link_open")
    host = link_host(str(opening.attrs["href"])) or ""
    return "</a>" if opening.markup == "autolink" else f"</a> <small>({escapeHtml(host)})</small>"
