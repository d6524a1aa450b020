"""Links in sentences that name an address."""

import re

from markupsafe import Markup, escape

# The pages that texts name, and calls of the API.
_ADDRESS = re.compile(
    r"(?<![\w/.:])(?P<page>/(?:history|login|templates|usage|docs)(?:#[a-z]+)?)(?![\w/])|(?P<call>GET /api/v1/[a-z/]+)"
)


_PAGE = Markup('<a href="{0}">{0}</a>')
_CALL = Markup('<a href="/docs"><code>{0}</code></a>')


def linked(text: str) -> Markup:
    """The text as HTML. The docs describe each call."""
    html, end = Markup(), 0
    for found in _ADDRESS.finditer(text):
        html += escape(text[end : found.start()]) + (_PAGE if found["page"] else _CALL).format(found[0])
        end = found.end()
    return html + escape(text[end:])
