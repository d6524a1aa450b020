"""The settings: environment variables and `.env`, read once, all faults reported at once.

`docs/configuration.md` explains each for operators; a test holds that page, `.env.example` and this module together.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# EX_CONFIG of sysexits.h: something is wrong with the configuration.
EXIT_CONFIG = 78
MIN_SECRET_CHARS = 32
# What manuals and examples show for a secret, whatever surrounds it.
PLACEHOLDERS = (
    "change",
    "secret",
    "example",
    "placeholder",
    "default",
    "password",
    "your",
    "todo",
    "xxxx",
    "1234567890",
)
MAX_USD = 1_000_000
_USD = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?", re.ASCII)


class SettingsError(Exception):
    """`faults`: one line each, naming the setting, what is wrong with it and what is allowed."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that no log, page or traceback shows."""

    value: str

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its default; units stand in the names. Read it with `from_env` or `load`."""

    openai_api_key: Secret | None = None
    openai_base_url: str | None = None
    openai_model: str = "gpt-4o-mini"
    models: tuple[str, ...] = ()
    provider: str = "auto"
    host: str = "127.0.0.1"
    port: int = 8000
    web_concurrency: int = 1
    name: str = "LLM API Service"
    env: str = "dev"
    log_level: str = "INFO"
    prompts_dir: Path = Path("prompts")
    database_url: str = "sqlite:///var/llm_service.db"
    cache_ttl_s: float = 3600
    cache_max_entries: int = 10_000
    cache_scope: str = "owner"
    input_max_chars: int = 5000
    deadline_s: float = 120
    idle_timeout_s: float = 30
    upstream_slots: int = 500
    abandon_grace_s: float | None = 5
    grace_s: float = 30
    max_output_tokens: int = 0
    prices_file: Path | None = None
    limit_rpm: int = 0
    limit_concurrent: int = 0
    budget_usd_day: Decimal = Decimal(0)
    budget_tokens_day: int = 0
    history: str = "full"
    history_days: int = 30
    proxy_hops: int = 0
    trusted_hosts: tuple[str, ...] = LOOPBACK_HOSTS
    auth: str = "auto"
    secret_key: Secret | None = None
    warnings: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def load(cls, environ: Mapping[str, str], dotenv: Path = Path(".env")) -> "Settings":
        """From the environment and a `.env` file; the environment wins.

        Raises `SettingsError` with every fault of both.
        """
        in_file = {key: value or "" for key, value in dotenv_values(dotenv).items()} if dotenv.is_file() else {}
        return _Reader(environ, in_file).settings()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """From a mapping alone.

        Raises `SettingsError` with every fault.
        """
        return _Reader(environ, {}).settings()

    @property
    def allowed_models(self) -> tuple[str, ...]:
        return self.models or (self.openai_model,)

    @property
    def chosen_provider(self) -> str | None:
        """`openai` or `echo`; None = nothing was configured, and `prod` never falls back to the echo."""
        if self.provider != "auto":
            return self.provider
        if self.openai_api_key or self.openai_base_url:
            return "openai"
        return "echo" if self.env == "dev" else None

    def secrets(self) -> list[str]:
        """Values that no log may show."""
        return [secret.value for secret in (self.openai_api_key, self.secret_key) if secret]

    @property
    def needs_key(self) -> str | None:
        """Why a server with these settings must have an API key to let anyone in; None = it is open on loopback."""
        if self.auth == "required":
            return "APP_AUTH: required"
        return None if is_loopback(self.host) else needs_key_at(f"HOST: {self.host}")

    def refusals(self) -> list[str]:
        """Why a server must not start with these settings, one line each; commands work all the same."""
        refusals = []
        if self.chosen_provider is None:
            refusals.append("OPENAI_API_KEY: is not set, and APP_ENV=prod never uses the echo provider by itself.")
        if self.chosen_provider == "openai" and not (self.openai_api_key or self.openai_base_url):
            refusals.append(
                "OPENAI_API_KEY: APP_PROVIDER=openai needs it (or OPENAI_BASE_URL of a server without keys)."
            )
        return refusals


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own: `localhost`, 127.0.0.0/8 or ::1."""
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def needs_key_at(where: str) -> str:
    return f"{where} is not a loopback address"


# Known settings whose function is not built: their default is accepted, anything else is refused by name.
NOT_YET = {
    "REDIS_URL": "",
}
_KNOWN = {
    "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "APP_MODELS", "APP_PROVIDER", "HOST", "PORT",
    "WEB_CONCURRENCY", "APP_NAME", "APP_ENV", "APP_LOG_LEVEL", "APP_PROMPTS_DIR", "DATABASE_URL", "APP_CACHE_TTL_S",
    "APP_CACHE_MAX_ENTRIES", "APP_CACHE_SCOPE", "APP_INPUT_MAX_CHARS", "APP_DEADLINE_S", "APP_IDLE_TIMEOUT_S",
    "APP_UPSTREAM_SLOTS", "APP_ABANDON_GRACE_S", "APP_GRACE_S", "APP_MAX_OUTPUT_TOKENS", "APP_PRICES_FILE",
    "APP_LIMIT_RPM", "APP_LIMIT_CONCURRENT", "APP_BUDGET_USD_DAY", "APP_BUDGET_TOKENS_DAY",
    "APP_HISTORY", "APP_HISTORY_DAYS", "APP_PROXY_HOPS", "APP_TRUSTED_HOSTS", "APP_AUTH", "SECRET_KEY", *NOT_YET,
}  # fmt: skip
SECRETS = {"OPENAI_API_KEY", "SECRET_KEY"}
NAMES = frozenset(_KNOWN | {f"{name}_FILE" for name in SECRETS})


class _Reader:
    """Reads one value after the other and collects what is wrong."""

    def __init__(self, environ: Mapping[str, str], in_file: Mapping[str, str]) -> None:
        self._values = {**in_file, **environ}
        self._faults: list[str] = []
        unknown = "is not a setting of this service"
        self._faults += [
            f"{name}: {unknown} (.env)" for name in sorted(in_file) if _is_ours(name) and name not in NAMES
        ]
        self._warnings = [f"{name}: {unknown}" for name in sorted(environ) if _is_ours(name) and name not in NAMES]

    def settings(self) -> Settings:
        self._refuse_what_is_not_built()
        settings = Settings(
            openai_api_key=self._secret("OPENAI_API_KEY"),
            openai_base_url=self._base_url("OPENAI_BASE_URL"),
            openai_model=self._text("OPENAI_MODEL", "gpt-4o-mini"),
            models=self._list("APP_MODELS", ()),
            provider=self._choice("APP_PROVIDER", "auto", ("auto", "openai", "echo")),
            host=self._text("HOST", "127.0.0.1"),
            port=self._integer("PORT", 8000, 1, 65_535),
            web_concurrency=self._integer("WEB_CONCURRENCY", 1, 1, 256),
            name=self._text("APP_NAME", "LLM API Service", max_chars=100),
            env=self._choice("APP_ENV", "dev", ("dev", "prod")),
            log_level=self._choice("APP_LOG_LEVEL", "INFO", LOG_LEVELS, upper=True),
            prompts_dir=Path(self._text("APP_PROMPTS_DIR", "prompts")),
            database_url=self._database_url("DATABASE_URL", "sqlite:///var/llm_service.db"),
            cache_ttl_s=self._number("APP_CACHE_TTL_S", 3600, 1, 31_536_000),
            cache_max_entries=self._integer("APP_CACHE_MAX_ENTRIES", 10_000, 0, 10_000_000),
            cache_scope=self._choice("APP_CACHE_SCOPE", "owner", ("owner", "shared")),
            input_max_chars=self._integer("APP_INPUT_MAX_CHARS", 5000, 1, 1_000_000),
            deadline_s=self._number("APP_DEADLINE_S", 120, 0.1, 86_400),
            idle_timeout_s=self._number("APP_IDLE_TIMEOUT_S", 30, 0.1, 86_400),
            upstream_slots=self._integer("APP_UPSTREAM_SLOTS", 500, 1, 100_000),
            abandon_grace_s=self._number_or_never("APP_ABANDON_GRACE_S", 5, 0, 86_400),
            grace_s=self._number("APP_GRACE_S", 30, 1, 86_400),
            max_output_tokens=self._integer("APP_MAX_OUTPUT_TOKENS", 0, 0, 1_000_000),
            prices_file=self._path("APP_PRICES_FILE"),
            limit_rpm=self._integer("APP_LIMIT_RPM", 0, 0, 1_000_000),
            limit_concurrent=self._integer("APP_LIMIT_CONCURRENT", 0, 0, 100_000),
            budget_usd_day=self._usd("APP_BUDGET_USD_DAY"),
            budget_tokens_day=self._integer("APP_BUDGET_TOKENS_DAY", 0, 0, 1_000_000_000_000),
            history=self._choice("APP_HISTORY", "full", ("full", "metadata", "off")),
            history_days=self._integer("APP_HISTORY_DAYS", 30, 1, 36_500),
            proxy_hops=self._integer("APP_PROXY_HOPS", 0, 0, 10),
            trusted_hosts=self._list("APP_TRUSTED_HOSTS", LOOPBACK_HOSTS),
            auth=self._choice("APP_AUTH", "auto", ("auto", "required")),
            secret_key=self._signing_secret("SECRET_KEY"),
            warnings=tuple(self._warnings),
        )
        if settings.models and settings.openai_model not in settings.models:
            self._fault("APP_MODELS", f"does not hold the default model {settings.openai_model} (OPENAI_MODEL)")
        if self._faults:
            raise SettingsError(self._faults)
        return settings

    def _fault(self, name: str, message: str) -> None:
        self._faults.append(f"{name}: {message}")

    def _raw(self, name: str) -> str:
        return self._values.get(name, "").strip()

    def _refuse_what_is_not_built(self) -> None:
        for name, accepted in NOT_YET.items():
            if self._raw(name) and self._raw(name) != accepted:
                allowed = f"leave it at {accepted}" if accepted else "leave it out"
                self._fault(name, f"this version does not have that function yet; {allowed}")

    def _text(self, name: str, default: str, max_chars: int = 1000) -> str:
        value = self._raw(name)
        if len(value) > max_chars or not value.isprintable():
            self._fault(name, f"must be printable text of at most {max_chars} characters")
            return default
        return value or default

    def _path(self, name: str) -> Path | None:
        value = self._text(name, "")
        return Path(value) if value else None

    def _choice(self, name: str, default: str, allowed: tuple[str, ...], *, upper: bool = False) -> str:
        value = self._raw(name).upper() if upper else self._raw(name)
        if value and value not in allowed:
            self._fault(name, f"{value!r} must be one of: {', '.join(allowed)}")
            return default
        return value or default

    def _number(self, name: str, default: float, low: float, high: float) -> float:
        return self._parse(name, default, float, "a number", low, high)

    def _integer(self, name: str, default: int, low: int, high: int) -> int:
        return int(self._parse(name, default, int, "an integer", low, high))

    def _number_or_never(self, name: str, default: float, low: float, high: float) -> float | None:
        return None if self._raw(name).strip().lower() == "never" else self._number(name, default, low, high)

    def _parse(
        self, name: str, default: float, parse: Callable[[str], float], what: str, low: float, high: float
    ) -> float:
        raw = self._raw(name)
        if not raw:
            return default
        try:
            value = parse(raw) if raw.isascii() and "_" not in raw else None
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            self._fault(name, f"{raw[:40]!r} must be {what} between {low:,.10g} and {high:,.10g}")
            return default
        return value

    def _usd(self, name: str) -> Decimal:
        raw = self._raw(name)
        amount = Decimal(raw) if _USD.fullmatch(raw) else None
        if raw and (amount is None or amount > MAX_USD):
            self._fault(
                name, f"{raw[:40]!r} must be US dollars between 0 and {MAX_USD:,}, with at most 6 decimals: 12.50"
            )
            return Decimal(0)
        return amount or Decimal(0)

    def _list(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        values = tuple(part.strip() for part in self._raw(name).split(",") if part.strip())
        return tuple(dict.fromkeys(values)) or default

    def _secret(self, name: str) -> Secret | None:
        value, path = self._raw(name), self._raw(f"{name}_FILE")
        if value and path:
            self._fault(name, f"set either {name} or {name}_FILE, not both")
        elif path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                self._fault(f"{name}_FILE", f"cannot be read ({type(error).__name__})")
                return None
            if not value:
                self._fault(f"{name}_FILE", "the file is empty")
        if not value.isascii() or not value.isprintable():
            self._fault(name, "must be printable ASCII")
            return None
        return Secret(value) if value else None

    def _signing_secret(self, name: str) -> Secret | None:
        """A secret of our own: anyone who guesses it can forge what it signs."""
        secret = self._secret(name)
        if secret is None:
            return None
        value = secret.value.lower()
        if len(value) < MIN_SECRET_CHARS or len(set(value)) < 8 or any(word in value for word in PLACEHOLDERS):
            self._fault(
                name,
                f"must be at least {MIN_SECRET_CHARS} characters that nobody can guess, not one of an example: "
                'python3 -c "import secrets; print(secrets.token_hex(32))"; or leave it out, and one is made',
            )
        return secret

    def _base_url(self, name: str) -> str | None:
        value = self._raw(name)
        if not value:
            return None
        try:
            parts = urlsplit(value)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            good = good and not (parts.username or parts.password or parts.query or parts.fragment)
        except ValueError:
            good = False
        if not good or not value.isascii() or not value.isprintable() or " " in value:
            self._fault(
                name, "must be an http or https address such as http://127.0.0.1:11434/v1, without user, ? or #"
            )
            return None
        return value.rstrip("/")

    def _database_url(self, name: str, default: str) -> str:
        value = self._raw(name) or default
        if re.match(r"postgresql(\+psycopg)?://", value):
            self._fault(name, "this version keeps its history in SQLite only: sqlite:///path/to/file.db")
        elif not re.fullmatch(r"sqlite:///[^?#]+", value):
            self._fault(name, "must be sqlite:///path/to/file.db")
        return value


def _is_ours(name: str) -> bool:
    return name.startswith("APP_")
