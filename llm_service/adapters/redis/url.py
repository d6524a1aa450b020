"""The address of a Redis server, as `REDIS_URL` gives it."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

DEFAULT_PORT = 6379
# Redis' own limit is in its configuration; the default is 16 databases.
MAX_DB = 1_000_000
# Options of a URL that are passed on. All others would replace what this service depends on, such as its timeouts.
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is. `path`: of a Unix socket, instead of `host` and `port`. `tls`: files, by redis-py's names."""

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    db: int = 0
    uses_tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Without user and password."""
        return f"unix://{self.path}" if self.path else f"{self.host}:{self.port}"

    def options(self) -> dict[str, Any]:
        """The arguments of a redis-py connection."""
        place: dict[str, Any] = {"path": self.path} if self.path else {"host": self.host, "port": self.port}
        return {**place, **self.tls, "db": self.db, "username": self.username, "password": self.password}


def parse_redis_url(url: str) -> RedisAddress:
    """Raises `ValueError`, whose message never quotes the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("has a port or an address that is not valid") from None
    if parts.scheme not in ("redis", "rediss", "unix") or "://" not in url:
        raise ValueError("must begin with redis://, rediss:// or unix://")
    given = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    _check_options(given, parts.scheme)
    is_socket = parts.scheme == "unix"
    if is_socket and not parts.path:
        raise ValueError("must name a socket: unix:///path/to/redis.sock")
    if not is_socket and not parts.hostname:
        raise ValueError("must name a host: redis://HOST:6379/0")
    in_path = "" if is_socket else unquote(parts.path).strip("/")
    return RedisAddress(
        host="" if is_socket else unquote(parts.hostname or ""),
        port=DEFAULT_PORT if port is None else port,
        path=unquote(parts.path) if is_socket else "",
        db=_db(given.get("db", in_path)),
        uses_tls=parts.scheme == "rediss",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls={name: given[name] for name in _TLS_OPTIONS if name in given},
    )


def _check_options(given: dict[str, str], scheme: str) -> None:
    allowed = ("db", *(_TLS_OPTIONS if scheme == "rediss" else ()))
    if unknown := [name for name in given if name not in allowed]:
        raise ValueError(f"has the option {unknown[0][:40]!r}; it may have {', '.join(allowed)}")


def _db(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and int(text) <= MAX_DB):
        raise ValueError("must end with the number of a database: redis://HOST:6379/0")
    return int(text or 0)
