"""Addresses of servers."""

from urllib.parse import urlsplit


def plain_http_url(text: str) -> str:
    """The URL without a slash at its end. Raises `ValueError`, whose message does not quote it: it may contain a password."""
    if not text.isascii() or not text.isprintable() or " " in text or not _is_plain_http(text):
        raise ValueError("must be an http or https URL such as http://127.0.0.1:11434/v1, without user, ? or #")
    return text.rstrip("/")


def _is_plain_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return good and not (parts.username or parts.password or parts.query or parts.fragment)
