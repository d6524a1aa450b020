"""The settings: environment variables and `.env`, read once. All errors are reported together.

Each is declared here and nowhere else. `make docs` writes `.env.example` and the tables of `docs/configuration.md`.

Longer than other modules: every setting is declared in it once.
"""

# ruff: noqa: RUF009 (`setting` returns a dataclass field)

import ipaddress
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from dotenv import dotenv_values

from llm_service.adapters.providers.openai_api import OPENAI_URL
from llm_service.adapters.providers.proxies import Proxy, ProxyUrl, parse_proxy, proxy_variable
from llm_service.adapters.redis.url import parse_redis_url
from llm_service.adapters.sql.database_url import SQLITE, DatabaseUrl
from llm_service.bootstrap.setting_reader import Reader, declared, setting
from llm_service.bootstrap.setting_types import (
    Secret,
    choice,
    data_path,
    database_url,
    http_url,
    integer,
    model_chains,
    names,
    path,
    proxy_url,
    redis_url,
    seconds,
    seconds_or_never,
    secret,
    signing_secret,
    text,
    us_dollars,
)
from llm_service.core.model_chain import NEXT, chain_of

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")
# EX_CONFIG of sysexits.h: something is wrong with the configuration.
EXIT_CONFIG = 78
DATA_FOLDER = Path("var")
DATABASE_FILE = "llm_service.db"
UNSET_SIGNING_KEY = "SECRET_KEY: must be set where DATABASE_URL is PostgreSQL, to the same value on all nodes. Make one: openssl rand -hex 32"
SECTIONS = PROVIDER, LIMITS, SERVER, STORAGE = (
    "The model provider",
    "Limits of all callers together",
    "The server",
    "Templates, cache, history",
)


class SettingsError(Exception):
    """`faults`: one line each, with the setting, the error and the allowed values."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its default; names end in the unit. Read them with `from_env` or `load`."""

    # fmt: off
    openai_api_key: Secret | None = setting(PROVIDER, "OPENAI_API_KEY", secret(), None,
        "Key for the model provider. It is never shown, logged or stored.")
    openai_base_url: str | None = setting(PROVIDER, "OPENAI_BASE_URL", http_url(), None,
        "Any server that speaks the Responses API.",
        shown="OpenAI's", example="http://127.0.0.1:11434/v1")
    openai_model: str = setting(PROVIDER, "OPENAI_MODEL", text(), "gpt-4o-mini",
        "The default model.")
    models: tuple[str, ...] = setting(PROVIDER, "APP_MODELS", model_chains(), (),
        "The models that a request may ask for. The list must contain the default model. `a>b` is a model with a "
        "fallback: a request asks for `a`, and `b` answers if `a` fails. See [Fallbacks](fallbacks.md).",
        shown="the default model", example="gpt-4o-mini")
    provider: str = setting(PROVIDER, "APP_PROVIDER", choice("auto", "openai", "echo"), "auto",
        "`echo` repeats the prompt and calls no model. `auto` means `openai` if a key or a URL is set, else `echo` in "
        "`dev`; in `prod` the server does not start.")
    providers_file: Path | None = setting(PROVIDER, "APP_PROVIDERS_FILE", path(), None,
        "A YAML file with several providers, see [providers.md](providers.md). Then `OPENAI_BASE_URL` and `APP_PROVIDER` are "
        "ignored, `APP_MODELS` defaults to all its models, and `OPENAI_MODEL` to the first one if `gpt-4o-mini` is not among them.")
    deadline_s: float = setting(PROVIDER, "APP_DEADLINE_S", seconds(0.1, 86_400), 120,
        "Time limit for a whole generation.")
    idle_timeout_s: float = setting(PROVIDER, "APP_IDLE_TIMEOUT_S", seconds(0.1, 86_400), 30,
        "Longest silence after the first output of an answer. Before the first output only `APP_DEADLINE_S` counts.")
    upstream_slots: int = setting(PROVIDER, "APP_UPSTREAM_SLOTS", integer(1, 100_000), 500,
        "Calls to a provider in flight per process. Above it, requests get 503 `overloaded` at once. Cache hits and "
        "shared calls need no slot.")
    max_output_tokens: int = setting(PROVIDER, "APP_MAX_OUTPUT_TOKENS", integer(0, 1_000_000), 0,
        "Sent where a template sets none. 0 = the provider's own limit, or 4096 where a budget needs one to reserve.")
    prices_file: Path | None = setting(PROVIDER, "APP_PRICES_FILE", path(), None,
        "A YAML or JSON file with your own prices, see below.")
    https_proxy: ProxyUrl | None = setting(PROVIDER, "HTTPS_PROXY", proxy_url(), None,
        "The proxy to a provider whose URL begins with `https`, see below.",
        example="http://proxy.example:3128", any_case=True)
    http_proxy: ProxyUrl | None = setting(PROVIDER, "HTTP_PROXY", proxy_url(), None,
        "The proxy to a provider whose URL begins with `http`.",
        any_case=True)
    all_proxy: ProxyUrl | None = setting(PROVIDER, "ALL_PROXY", proxy_url(), None,
        "The proxy where neither of the two applies.",
        any_case=True)
    no_proxy: str = setting(PROVIDER, "NO_PROXY", text(max_chars=100_000), "",
        "Providers that are called directly: names with their subdomains, addresses and networks, separated by commas.",
        example="localhost,127.0.0.1,10.0.0.0/8,.example.org", any_case=True)

    limit_rpm: int = setting(LIMITS, "APP_LIMIT_RPM", integer(0, 1_000_000), 0,
        "Generations within any sixty seconds, including cache hits. Above it: 429 `rate-limited`.")
    limit_concurrent: int = setting(LIMITS, "APP_LIMIT_CONCURRENT", integer(0, 100_000), 0,
        "Calls to models in flight, in all processes together. Above it: 429 `rate-limited`.")
    budget_usd_day: Decimal = setting(LIMITS, "APP_BUDGET_USD_DAY", us_dollars(), Decimal(0),
        "US dollars per UTC day. Above it: 402 `budget-exhausted`. Models without a known price are then refused (422 "
        "`unknown-model`).")
    budget_tokens_day: int = setting(LIMITS, "APP_BUDGET_TOKENS_DAY", integer(0, 1_000_000_000_000), 0,
        "Input and output tokens per UTC day. Above it: 402 `budget-exhausted`.")

    host: str = setting(SERVER, "HOST", text(), "127.0.0.1",
        "Address to listen on. On any address other than loopback, every caller needs an API key, and the server does "
        "not start before one exists.")
    port: int = setting(SERVER, "PORT", integer(1, 65_535), 8000,
        "Port to listen on.")
    auth: str = setting(SERVER, "APP_AUTH", choice("auto", "required"), "auto",
        "`auto`: no key is needed while the listening address, the client and the Host are all loopback and no unknown "
        "proxy is in between. `required`: every caller needs a key.")
    first_key_file: Path | None = setting(SERVER, "APP_FIRST_KEY_FILE", path(), None,
        "Where no API key exists at the start, one with all scopes (name `admin`) is made from the key in this file. If there "
        "is no such file, a key is made and written to it (mode 0600).",
        example="/run/secrets/llm_service_key")
    secret_key: Secret | None = setting(SERVER, "SECRET_KEY", signing_secret(), None,
        "Signs the form tokens of signed-in browsers. A value from an example is refused. If it is not set, one is made "
        "in `APP_DATA_DIR` (`secret_key`, mode 0600). On PostgreSQL it must be set, to the same value on all nodes.",
        shown="made on first start")
    web_concurrency: int = setting(SERVER, "WEB_CONCURRENCY", integer(1, 256), 1,
        "Worker processes. Without `REDIS_URL`, each has its own cache.")
    abandon_grace_s: float | None = setting(SERVER, "APP_ABANDON_GRACE_S", seconds_or_never(0, 86_400), 5,
        "How long a generation continues after its API caller disconnected; `never` = until it is done. A generation "
        "started in the page or with an `Idempotency-Key` runs until it is done or stopped.")
    grace_s: float = setting(SERVER, "APP_GRACE_S", seconds(1, 86_400), 30,
        "After SIGTERM, how long running generations may take to finish. Two seconds before the end, the rest get "
        "`shutting-down` and are stored as `interrupted`.")
    proxy_hops: int = setting(SERVER, "APP_PROXY_HOPS", integer(0, 10), 0,
        "Number of reverse proxies in front. At 0, a request with a forwarding header needs a key.")
    trusted_hosts: tuple[str, ...] = setting(SERVER, "APP_TRUSTED_HOSTS", names(), LOOPBACK_HOSTS,
        "Accepted Host names. `.example.org` includes its subdomains.",
        shown="loopback names")
    env: str = setting(SERVER, "APP_ENV", choice("dev", "prod"), "dev",
        "`prod` never falls back to the echo provider.")
    name: str = setting(SERVER, "APP_NAME", text(max_chars=100), "LLM API Service",
        "Shown in the page, the status and the OpenAPI title.")
    log_level: str = setting(
        SERVER, "APP_LOG_LEVEL", choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", upper=True), "INFO",
        "Successful reads and cache hits are logged at `DEBUG`.")

    prompts_dir: Path = setting(STORAGE, "APP_PROMPTS_DIR", path(), Path("prompts"),
        "Folder of the prompt files.")
    input_max_chars: int = setting(STORAGE, "APP_INPUT_MAX_CHARS", integer(1, 1_000_000), 5000,
        "Limit of every text input for which the template declares none.")
    cache_ttl_s: float = setting(STORAGE, "APP_CACHE_TTL_S", seconds(1, 31_536_000), 3600,
        "How long a cached answer is used.")
    cache_max_entries: int = setting(STORAGE, "APP_CACHE_MAX_ENTRIES", integer(0, 10_000_000), 10_000,
        "Cached answers per process, or of all processes in Redis. The least recently used is dropped first, in Redis the "
        "oldest. 0 = no cache.")
    cache_max_mb: int = setting(STORAGE, "APP_CACHE_MAX_MB", integer(1, 1_000_000), 256,
        "Memory of the cached answers per process, or of all processes in Redis, in MiB. The least recently used is dropped "
        "first, in Redis the oldest. An answer that is larger is not cached, in Redis one of more than a sixteenth, or of 1 MiB.")
    cache_scope: str = setting(STORAGE, "APP_CACHE_SCOPE", choice("owner", "shared"), "owner",
        "`shared`: cached answers serve all callers, who can tell from the response time what others asked.")
    data_dir: Path | None = setting(STORAGE, "APP_DATA_DIR", data_path(), None,
        "Folder of the signing secret, of paid answers that the database could not take (`.spool`), of the last good "
        "prompts and providers, and of the database where `DATABASE_URL` is not set. Several databases may share it.",
        shown="the SQLite file's folder, else `var`", example="var")
    database_url: DatabaseUrl = setting(STORAGE, "DATABASE_URL", database_url(), DatabaseUrl(f"{SQLITE}{DATA_FOLDER}/{DATABASE_FILE}"),
        f"The SQLite file, on a local disk; created and migrated on start. If only `APP_DATA_DIR` is set, `{DATABASE_FILE}` "
        "in that folder. Or a PostgreSQL database with libpq's options, see [PostgreSQL](deployment.md#postgresql).")
    history: str = setting(STORAGE, "APP_HISTORY", choice("full", "metadata", "off"), "full",
        "`metadata`: rows without the texts of prompts and answers. `off`: no rows. Answers, cache and shared calls are the "
        "same in all three. An `Idempotency-Key` needs `full`, because it repeats a stored answer.")
    history_days: int = setting(STORAGE, "APP_HISTORY_DAYS", integer(1, 36_500), 30,
        "Days to keep generations; then they are deleted with their texts, and from the cache.")

    redis_url: Secret | None = setting(STORAGE, "REDIS_URL", redis_url(), None,
        "The Redis or Valkey server through which processes and machines share the cache and calls in progress, see "
        "[redis.md](redis.md). While it is away, each process has its own.",
        example="redis://127.0.0.1:6379/0")
    # fmt: on

    warnings: tuple[str, ...] = field(default=(), repr=False)
    # All variables, also those that the providers file names. They contain secrets.
    environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, environ: Mapping[str, str], dotenv: Path = Path(".env")) -> "Settings":
        """From the environment and a `.env` file; the environment wins.

        Raises `SettingsError` with every error in both.
        """
        in_file = {key: value or "" for key, value in dotenv_values(dotenv).items()} if dotenv.is_file() else {}
        return cls._read(environ, in_file)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """From a mapping.

        Raises `SettingsError` with every error.
        """
        return cls._read(environ, {})

    @classmethod
    def load_or_exit(cls, environ: Mapping[str, str]) -> "Settings":
        """`load` for a process: prints the errors and exits with code 78."""
        try:
            return cls.load(environ)
        except SettingsError as error:
            sys.stderr.write("\n".join([*error.faults, ""]))
            sys.exit(EXIT_CONFIG)

    @classmethod
    def _read(cls, environ: Mapping[str, str], in_file: Mapping[str, str]) -> "Settings":
        reader = Reader(cls, environ, in_file)
        values = reader.values()
        if values["data_dir"] and not reader.is_given("DATABASE_URL", "DATABASE_URL_FILE"):
            values["database_url"] = DatabaseUrl(f"{SQLITE}{values['data_dir'] / DATABASE_FILE}")
        if values["providers_file"] is not None:
            ignored = (name for name in ("OPENAI_BASE_URL", "APP_PROVIDER") if reader.is_given(name))
            reader.warnings += [f"{name}: is ignored, because APP_PROVIDERS_FILE is set" for name in ignored]
        if values["web_concurrency"] > 1 and values["redis_url"] is None:
            reader.warnings.append(
                f"REDIS_URL: is not set: each of the {values['web_concurrency']} workers has its own cache, and shares calls "
                "only within itself"
            )
        settings = cls(**values, warnings=tuple(reader.warnings), environ=reader.given)
        is_missing = settings.models and settings.openai_model not in [chain_of(text)[0] for text in settings.models]
        if NEXT in settings.openai_model:
            reader.fault("OPENAI_MODEL", f"must be one model; APP_MODELS names its fallbacks (such as `a{NEXT}b`)")
        elif is_missing and settings.providers_file is None:
            reader.fault("APP_MODELS", f"does not contain the default model {settings.openai_model} (OPENAI_MODEL)")
        try:
            _ = settings.proxy
        except ValueError as error:
            reader.fault(str(settings.proxy_variable), str(error))
        if reader.faults:
            raise SettingsError(reader.faults)
        return settings

    @property
    def allowed_models(self) -> tuple[str, ...]:
        return self.models or (self.openai_model,)

    @property
    def model_is_given(self) -> bool:
        """Whether the default model is not only the default of its setting."""
        return bool(self.environ.get("OPENAI_MODEL", "").strip())

    @property
    def chosen_provider(self) -> str | None:
        """`openai` or `echo`, without a providers file.

        None = nothing is configured, and `prod` never falls back to the echo.
        """
        if self.provider != "auto":
            return self.provider
        if self.openai_api_key or self.openai_base_url:
            return "openai"
        return "echo" if self.env == "dev" else None

    @property
    def proxy_variable(self) -> str | None:
        """The setting whose proxy leads to the provider; None = it is called directly, or there is none."""
        if self.providers_file is not None or self.chosen_provider != "openai":
            return None
        return self._proxy_variable(self.openai_base_url or OPENAI_URL)

    @property
    def proxy(self) -> Proxy | None:
        """The proxy to the provider. Valid settings have a valid one."""
        url = self._proxies.get(self.proxy_variable or "")
        return parse_proxy(url) if url else None

    def proxy_to(self, url: str) -> Proxy | None:
        """The proxy to a server. Raises `ValueError`, whose message begins with the name of the variable."""
        name = self._proxy_variable(url)
        given = self._proxies.get(name or "")
        try:
            return parse_proxy(given) if given else None
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None

    def _proxy_variable(self, url: str) -> str | None:
        return proxy_variable(url, [name for name, given in self._proxies.items() if given], self.no_proxy)

    @property
    def _proxies(self) -> Mapping[str, ProxyUrl | None]:
        return {"HTTPS_PROXY": self.https_proxy, "HTTP_PROXY": self.http_proxy, "ALL_PROXY": self.all_proxy}

    def secrets(self) -> list[str]:
        """Values that no log may show."""
        values = (getattr(self, attribute) for attribute in declared(Settings))
        kept = [value.value for value in values if isinstance(value, Secret)]
        in_url = parse_redis_url(self.redis_url.value).password if self.redis_url else None
        of_redis = [in_url] if in_url else []
        return [*kept, *(self.proxy.secrets() if self.proxy else ()), *of_redis, *self.database_url.secrets()]

    @property
    def database_path(self) -> Path:
        """The file of SQLite."""
        return self.database_url.path

    @property
    def data_folder(self) -> Path:
        if self.data_dir:
            return self.data_dir.absolute()
        return DATA_FOLDER.absolute() if self.database_url.is_postgres else self.database_path.parent

    @property
    def needs_key(self) -> str | None:
        """Why a server with these settings needs an API key before it starts; None = it is open on loopback."""
        if self.auth == "required":
            return "APP_AUTH: required"
        return None if is_loopback(self.host) else needs_key_at(f"HOST: {self.host}")

    def refusals(self) -> list[str]:
        """Why a server must not start with these settings, one line each. Commands still work."""
        refusals: list[str] = []
        if self.database_url.is_postgres and self.secret_key is None:
            refusals.append(UNSET_SIGNING_KEY)
        if self.providers_file is not None:
            return refusals  # its faults are told when it is read
        if self.chosen_provider is None:
            refusals.append("OPENAI_API_KEY: is not set, and APP_ENV=prod never uses the echo provider by itself.")
        if self.chosen_provider == "openai" and not (self.openai_api_key or self.openai_base_url):
            refusals.append(
                "OPENAI_API_KEY: APP_PROVIDER=openai needs it (or OPENAI_BASE_URL of a server without keys)."
            )
        return refusals


def is_loopback(host: str) -> bool:
    """Whether a host name or address is loopback: `localhost`, 127.0.0.0/8 or ::1."""
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def needs_key_at(where: str) -> str:
    return f"{where} is not a loopback address"
