"""The value of `DATABASE_URL`. Reading it loads no driver unless PostgreSQL is used."""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

SQLITE = "sqlite:///"
_POSTGRES = re.compile(r"postgresql(\+psycopg)?://")
_SECRETS = ("password", "sslpassword")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """`text` may contain a password. Raises `ValueError` for what no database of ours has."""

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        if self.is_postgres:
            if not self._options.get("dbname"):
                raise ValueError("must name the database: postgresql://user@host/name")
        elif not re.fullmatch(rf"{SQLITE}[^?#]+", self.text):
            raise ValueError(f"must be {SQLITE}path/to/file.db or postgresql://user@host/name")

    def __str__(self) -> str:
        return "postgresql://***" if self.is_postgres else self.text

    @property
    def is_postgres(self) -> bool:
        return _POSTGRES.match(self.text) is not None

    @property
    def path(self) -> Path:
        """The file of SQLite."""
        assert not self.is_postgres
        return Path(unquote(self.text.removeprefix(SQLITE))).absolute()

    @property
    def digest(self) -> str:
        """Which database of which PostgreSQL server it is, whoever connects to it: twelve letters of a hash."""
        options = self._options
        place = [str(options.get(name, "")) for name in ("host", "hostaddr", "port", "dbname")]
        return sha256("\0".join(place).encode()).hexdigest()[:12]

    def secrets(self) -> list[str]:
        """Values that no log may show."""
        if not self.is_postgres:
            return []
        found = [str(self._options[name]) for name in _SECRETS if self._options.get(name)]
        return list(dict.fromkeys([*found, *(quote(value, safe="") for value in found)]))

    @property
    def _options(self) -> dict[str, Any]:
        from .postgres.connections import options_of

        return options_of(self.text)
