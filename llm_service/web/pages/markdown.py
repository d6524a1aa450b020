"""A model's Markdown as HTML. The text is untrusted.

Two independent layers: markdown-it renders with HTML disabled (`html: False`), and nh3 keeps only the elements and
attributes listed here. The result loads nothing: images become their descriptions, and links show their host.
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
# Tokens that look the same as plain text.
_PLAIN = frozenset({"paragraph_open", "paragraph_close", "inline", "text", "softbreak", "text_special"})

TAGS = frozenset(
    {"p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6"}
    | {"table", "thead", "tbody", "tr", "th", "td", "a", "small"}
)
ATTRIBUTES = {"a": {"href"}, "code": {"class"}, "ol": {"start"}, "th": {"align"}, "td": {"align"}}


def to_html(text: str) -> Markup | None:
    """The formatted text; None if it would look the same as plain text, or is `too_long`."""
    if too_long(text):
        return None
    markdown = _markdown()
    tokens = markdown.parse(text)
    if _is_plain(tokens):
        return None
    _adapt(tokens)
    return Markup(_cleaner().clean(markdown.renderer.render(tokens, markdown.options, {})))  # noqa: S704 - cleaned


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
    if attribute not in ATTRIBUTES.get(tag, ()) or (attribute == "class" and not _LANGUAGE.fullmatch(value)):
        return None
    return value


def _is_plain(tokens: Sequence[Token]) -> bool:
    return all(token.type in _PLAIN and _is_plain(token.children or ()) for token in tokens)


def _adapt(tokens: Sequence[Token]) -> None:
    """Move headings below the page's own; align columns by attribute, because the CSP forbids style attributes."""
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + _HEADINGS_BELOW)}"
        elif token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs["align"] = _ALIGNED[str(token.attrs.pop("style"))]


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
