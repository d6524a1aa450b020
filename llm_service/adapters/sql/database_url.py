"""The value of `DATABASE_URL`.

gunicorn's master reads it, and must not load the driver: psycopg looks when it is loaded whether it has to wait
cooperatively, and only the workers' standard library is patched for that. So libpq's own check comes later, when the
database is opened.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

SQLITE = "sqlite:///"
POSTGRES = re.compile(r"postgresql(\+psycopg)?://")
_PORT = "5432"
_SECRETS = ("password", "sslpassword")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """`text` may contain a password. Raises `ValueError` for what no database of ours has."""

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        if self.is_postgres:
            parts = _PostgresParts(self.text)
            if not parts.name or not self.text.isprintable():
                raise ValueError("must name the database: postgresql://user@host/name")
            if parts.is_ambiguous:
                raise ValueError("must have special characters of the password as %XX: @ as %40, / as %2F")
        elif not re.fullmatch(rf"{SQLITE}[^?#]+", self.text):
            raise ValueError(f"must be {SQLITE}path/to/file.db or postgresql://user@host/name")

    def __str__(self) -> str:
        return "postgresql://***" if self.is_postgres else self.text

    @property
    def is_postgres(self) -> bool:
        return POSTGRES.match(self.text) is not None

    @property
    def path(self) -> Path:
        """The file of SQLite."""
        assert not self.is_postgres
        return Path(unquote(self.text.removeprefix(SQLITE))).absolute()

    @property
    def digest(self) -> str:
        """Which database of which PostgreSQL servers it is, whoever connects to it: twelve letters of a hash."""
        parts = _PostgresParts(self.text)
        return sha256("\0".join([*sorted(parts.places), parts.name]).encode()).hexdigest()[:12]

    def secrets(self) -> list[str]:
        """Values that no log may show, as they are and as they are written in the URL."""
        return _PostgresParts(self.text).secrets if self.is_postgres else []


class _PostgresParts:
    """What libpq reads in `postgresql://user:password@host:port,host:port/name?option=value&...`."""

    def __init__(self, text: str) -> None:
        base, _, query = text[text.index("://") + 3 :].partition("?")
        authority, _, name = base.partition("/")
        who, _, hosts = authority.rpartition("@")
        options = _options(query)
        self.name = unquote(options.get("dbname", name))
        # libpq would take a part of the password for the host or the port, and quote it in errors.
        self.is_ambiguous = base.count("@") > 1 or "@" in name
        listed = (options.get("hostaddr") or options.get("host") or "").split(",")
        ports = options.get("port", "").split(",")
        if any(listed):
            self.places = [f"{host}:{ports[min(at, len(ports) - 1)] or _PORT}" for at, host in enumerate(listed)]
        else:
            default = ports[0] or _PORT
            self.places = [host if re.search(r":\d+$", host) else f"{host}:{default}" for host in hosts.split(",")]
        written = [who.partition(":")[2], *(options.get(option, "") for option in _SECRETS)]
        self.secrets = list(dict.fromkeys(value for text in written if text for value in (unquote(text), text)))


def _options(query: str) -> Mapping[str, str]:
    pairs = (part.partition("=") for part in query.split("&") if part)
    return {unquote(name): value for name, _, value in pairs}
