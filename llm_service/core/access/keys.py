"""API keys: their form, their validity, and the values that describe a new one.

`llms_<id>_<secret><checksum>`: only letters, digits and `_`, so a double click selects all of it. The id (12
characters) is public: lists, logs and revocations name it. The secret has 256 random bits, so storing a plain SHA-256
of the key is safe: nobody can guess it, and a slow hash would only slow the service. The checksum distinguishes a
mistyped key from a wrong one without a database lookup, and helps scanners of source code to find lost keys.
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from ..clock import DAY_MS
from ..dates import parse_moment
from ..errors import FieldError, InvalidInput
from .caller import MAX_BUDGET_USD, UNLIMITED, Allowance, Caller, Scope

KEY_PREFIX = "llms"
ID_CHARS, SECRET_CHARS, CHECKSUM_CHARS = 12, 43, 6
KEY_CHARS = len(KEY_PREFIX) + 1 + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS
MAX_MODELS = 100
_BASE62_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_API_KEY = re.compile(
    rf"{KEY_PREFIX}_([0-9A-Za-z]{{{ID_CHARS}}})_[0-9A-Za-z]{{{SECRET_CHARS + CHECKSUM_CHARS}}}", re.ASCII
)
_OWNER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_MODEL_NAME = re.compile(r"[!-~]{1,200}")
_EXPIRY_DAYS = re.compile(r"([0-9]{1,5})d", re.ASCII)

RandomBytes = Callable[[int], bytes]
"""Returns this many unpredictable bytes."""


@dataclass(frozen=True, slots=True)
class Key:
    """`owner` is the key's name: keys with the same name share a history. Times are Unix time, UTC."""

    key_id: str
    owner: str
    scopes: frozenset[Scope]
    created_ms: int
    models: frozenset[str] | None = None
    allowance: Allowance = UNLIMITED
    expires_ms: int | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None

    def state(self, now_ms: int) -> str:
        """`usable`, `revoked` or `expired`."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and self.expires_ms <= now_ms else "usable"

    def caller(self) -> Caller:
        return Caller(self.owner, self.scopes, self.key_id, self.models, self.allowance)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A text that has the form of a key. `digest` is the SHA-256 of all of it."""

    key_id: str
    digest: bytes


def make_key(random_bytes: RandomBytes) -> tuple[str, str]:
    """A new key and its id."""
    key_id = _base62(random_bytes(8), ID_CHARS)
    body = f"{KEY_PREFIX}_{key_id}_{_base62(random_bytes(32), SECRET_CHARS)}"
    return with_checksum(body), key_id


def with_checksum(body: str) -> str:
    """Append the checksum, which anyone can compute."""
    return body + _base62(zlib.crc32(body.encode()).to_bytes(4, "big"), CHECKSUM_CHARS)


def digest_of(key: str) -> bytes:
    """The hash that is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def parse_key(text: str) -> ParsedKey | None:
    """None if it cannot be a key: the form or the checksum is wrong."""
    match = _API_KEY.fullmatch(text) if len(text) == KEY_CHARS else None
    if match is None or with_checksum(text[:-CHECKSUM_CHARS]) != text:
        return None
    return ParsedKey(match[1], digest_of(text))


def validate_name(name: str) -> str:
    """Raises `InvalidInput`."""
    if not _OWNER_NAME.fullmatch(name):
        raise _invalid("name", "must be 1 to 64 characters: letters, digits and . _ -, with a letter or digit first")
    return name


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Raises `InvalidInput`."""
    wanted = [name.strip() for name in names if name.strip()]
    known = {scope.value for scope in Scope}
    if not wanted or not known.issuperset(wanted):
        raise _invalid("scope", f"must be one or more of: {', '.join(scope.value for scope in Scope)}")
    return frozenset(Scope(name) for name in wanted)


def parse_models(names: Iterable[str]) -> frozenset[str] | None:
    """None = every model of the service.

    Raises `InvalidInput`.
    """
    wanted = frozenset(name.strip() for name in names if name.strip())
    if len(wanted) > MAX_MODELS or not all(_MODEL_NAME.fullmatch(name) for name in wanted):
        raise _invalid("models", f"must be at most {MAX_MODELS} model names without spaces")
    return wanted or None


def parse_usd(text: str) -> Decimal:
    """Raises `InvalidInput`."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 < amount <= MAX_BUDGET_USD or amount != round(amount, 6):
        raise _invalid(
            "budget-usd-day", f"must be more than 0 and at most {MAX_BUDGET_USD:,} US dollars, with at most 6 decimals"
        )
    return amount


def parse_expiry(text: str, now_ms: int) -> int:
    """`30d` from now, or a date or time as `parse_moment` takes it, such as 2027-01-31T18:00Z.

    Raises `InvalidInput` for anything else and for a time in the past.
    """
    if days := _EXPIRY_DAYS.fullmatch(text):
        expires_ms = now_ms + int(days[1]) * DAY_MS
    else:
        try:
            expires_ms = parse_moment("expires", text)
        except InvalidInput:
            expires_ms = now_ms
    if expires_ms <= now_ms:
        raise _invalid("expires", "must be in the future: 30d, a date (2027-01-31) or a time (2027-01-31T18:00Z)")
    return expires_ms


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput.of([FieldError(field, message)])


def _base62(data: bytes, chars: int) -> str:
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 62)
        text = _BASE62_DIGITS[digit] + text
    return text.rjust(chars, "0")
