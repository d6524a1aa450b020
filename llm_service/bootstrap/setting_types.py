"""The types of settings.

A `SettingType` parses text or raises `ValueError`; its message follows the setting's name in the error.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Generic, TypeVar

from llm_service.adapters.providers.addresses import plain_http_url
from llm_service.adapters.providers.proxies import ProxyUrl
from llm_service.adapters.redis.url import parse_redis_url
from llm_service.adapters.sql.database_url import SQLITE, DatabaseUrl
from llm_service.core.access.caller import MAX_BUDGET_USD
from llm_service.core.model_chain import NEXT, chain_of, fault_in

T_co = TypeVar("T_co", covariant=True)
MIN_SECRET_CHARS = 32
# Words of secrets in manuals and examples.
PLACEHOLDERS = (
    "change", "secret", "example", "placeholder", "default", "password", "your", "todo", "xxxx", "1234567890",
)  # fmt: skip
_USD = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that logs, pages and tracebacks never show."""

    value: str

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class SettingType(Generic[T_co]):
    """`allowed`: the possible values, for the documentation. A secret may also come from a file (`NAME_FILE`)."""

    parse: Callable[[str], T_co]
    allowed: str
    is_secret: bool = False


def text(max_chars: int = 1000) -> SettingType[str]:
    def parse(raw: str) -> str:
        if len(raw) > max_chars or not raw.isprintable():
            raise ValueError(f"must be printable text of at most {max_chars} characters")
        return raw

    return SettingType(parse, "text")


def path() -> SettingType[Path]:
    return SettingType(lambda raw: Path(text().parse(raw)), "path")


def names() -> SettingType[tuple[str, ...]]:
    """Separated by commas; repeated names count once."""

    def parse(raw: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(part.strip() for part in raw.split(",") if part.strip()))
        if not found:
            raise ValueError(f"{raw[:40]!r} must be names, separated by commas")
        return found

    return SettingType(parse, "names, separated by commas")


def model_chains() -> SettingType[tuple[str, ...]]:
    """Models, separated by commas, each with its fallbacks (`a>b`). No two begin with the same model."""
    listed = names()

    def parse(raw: str) -> tuple[str, ...]:
        found = tuple(NEXT.join(chain_of(text)) for text in listed.parse(raw))
        for text in found:
            if (fault := fault_in(text)) is not None:
                raise ValueError(f"{text[:40]!r} {fault}")
        first = [chain_of(text)[0] for text in found]
        if twice := next((name for name in first if first.count(name) > 1), None):
            raise ValueError(f"has two lists that begin with {twice[:40]!r}")
        return found

    return SettingType(parse, listed.allowed)


def choice(*allowed: str, upper: bool = False) -> SettingType[str]:
    """`upper`: lowercase is accepted too."""

    def parse(raw: str) -> str:
        value = raw.upper() if upper else raw
        if value not in allowed:
            raise ValueError(f"{value[:40]!r} must be one of: {', '.join(allowed)}")
        return value

    return SettingType(parse, ", ".join(f"`{value}`" for value in allowed))


def integer(low: int, high: int) -> SettingType[int]:
    return SettingType(lambda raw: int(_number(raw, int, "an integer", low, high)), f"{low:,} to {high:,}")


def seconds(low: float, high: float) -> SettingType[float]:
    return SettingType(lambda raw: _number(raw, float, "a number", low, high), f"seconds, {low:,} to {high:,}")


def seconds_or_never(low: float, high: float) -> SettingType[float | None]:
    kind = seconds(low, high)
    return SettingType(lambda raw: None if raw.lower() == "never" else kind.parse(raw), f"{kind.allowed}, or `never`")


def _number(raw: str, convert: Callable[[str], float], what: str, low: float, high: float) -> float:
    try:
        value = convert(raw) if raw.isascii() and "_" not in raw else None
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise ValueError(f"{raw[:40]!r} must be {what} between {low:,.10g} and {high:,.10g}")
    return value


def us_dollars() -> SettingType[Decimal]:
    def parse(raw: str) -> Decimal:
        if not _USD.fullmatch(raw) or Decimal(raw) > MAX_BUDGET_USD:
            raise ValueError(
                f"{raw[:40]!r} must be US dollars between 0 and {MAX_BUDGET_USD:,}, with at most 6 decimals: 12.50"
            )
        return Decimal(raw)

    return SettingType(parse, f"US dollars, 0 to {MAX_BUDGET_USD:,}, at most 6 decimals")


def secret() -> SettingType[Secret]:
    """Its errors never quote the value."""

    def parse(raw: str) -> Secret:
        if not raw.isascii() or not raw.isprintable():
            raise ValueError("must be printable ASCII")
        return Secret(raw)

    return SettingType(parse, "ASCII text", is_secret=True)


def signing_secret() -> SettingType[Secret]:
    """Our own secret: anyone who guesses it can forge signatures."""

    def parse(raw: str) -> Secret:
        value = raw.lower()
        if len(value) < MIN_SECRET_CHARS or len(set(value)) < 8 or any(word in value for word in PLACEHOLDERS):
            raise ValueError(
                f"must be at least {MIN_SECRET_CHARS} characters that nobody can guess, not a value from an example. "
                'Make one with python3 -c "import secrets; print(secrets.token_hex(32))", or leave it out'
            )
        return secret().parse(raw)

    return SettingType(parse, f"at least {MIN_SECRET_CHARS} ASCII characters", is_secret=True)


def http_url() -> SettingType[str]:
    return SettingType(plain_http_url, "http or https URL")


def proxy_url() -> SettingType[ProxyUrl]:
    """Other programs read these variables too, so only the value that is used must be an HTTP proxy's."""
    return SettingType(ProxyUrl, "http URL", is_secret=True)


def database_url() -> SettingType[DatabaseUrl]:
    """Its errors never quote the value: it may contain a password."""
    return SettingType(DatabaseUrl, f"`{SQLITE}...` or `postgresql://...`", is_secret=True)


def data_path() -> SettingType[Path]:
    """A folder that may hold the SQLite file: its path becomes part of a URL unescaped."""

    def parse(raw: str) -> Path:
        if set(raw) & set("?#%"):
            raise ValueError(f"{raw[:40]!r} must be a path without ?, # and %")
        return path().parse(raw)

    return SettingType(parse, "path")


def redis_url() -> SettingType[Secret]:
    """It may hold a password: its errors never quote the value."""

    def parse(raw: str) -> Secret:
        value = secret().parse(raw)
        parse_redis_url(raw)
        return value

    return SettingType(parse, "`redis://...`, `rediss://...`, `unix://...`", is_secret=True)
