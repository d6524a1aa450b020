"""One submit of a form is one generation, however often its request arrives: a retry or a double click pays once."""

import hashlib
import json
import re
import secrets

from markupsafe import Markup
from werkzeug.datastructures import MultiDict

from llm_service.core.generation.model import IdempotencyKey

from ..context import services
from ..security.access_control import CSRF_FIELD

FIELD = "submission"
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def submission_field(*, out_of_band: bool = False, many: bool = False) -> Markup:
    """The hidden field that names the next submit. Each response replaces it, so it stays the same only without one.

    `many`: the page has several such forms, and reloads after each.
    """
    swap = Markup(' hx-swap-oob="true"') if out_of_band else ""
    id = "" if many else Markup(' id="{}"').format(FIELD)
    # Browsers restore the values of hidden fields, too.
    return Markup('<input type="hidden"{} name="{}" value="{}" autocomplete="off"{}>').format(
        id, FIELD, secrets.token_hex(16), swap
    )


def submission_key(typed: MultiDict[str, str]) -> IdempotencyKey | None:
    """The key of this submit; other values make it another one. None without the field, or if no answers are kept."""
    if not _ID.fullmatch(typed.get(FIELD, "")) or services().history.keeps != "full":
        return None
    values = sorted((name, text) for name, text in typed.items(multi=True) if name != CSRF_FIELD)
    digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()
    return IdempotencyKey("page", digest, digest)
