"""Servers that are called as OpenAI's: the client, the errors and the text of an answer, for every wire format."""

from urllib.parse import urlsplit

# The provider of the settings, where they describe only one.
NAME = "openai"
# The SDK's own default for `base_url`.
OPENAI_URL = "https://api.openai.com/v1"
# Regional addresses such as `eu.api.openai.com` are below it.
_OPENAI_HOST = "api.openai.com"


def is_openai(base_url: str | None) -> bool:
    """Whether it is an address of OpenAI itself; None = the default."""
    host = (urlsplit(base_url or OPENAI_URL).hostname or "").rstrip(".")
    return host == _OPENAI_HOST or host.endswith(f".{_OPENAI_HOST}")
