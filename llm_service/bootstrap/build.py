"""The one place that chooses adapters, and that closes them."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llm_service.adapters.files.secret import SecretFileError, read_or_make
from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.memory.invalidation import CacheInvalidator
from llm_service.adapters.memory.single_flight import MemorySingleFlight
from llm_service.adapters.observability.logs import LogReporter
from llm_service.adapters.prompty.folder import PromptFolder
from llm_service.adapters.providers.echo import NAME as ECHO
from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.providers.openai_responses.provider import OpenAIProvider
from llm_service.adapters.providers.prices import ModelPrices, PricesFileError, read_prices
from llm_service.adapters.providers.retry import RetryingProvider
from llm_service.adapters.runtime.background import Ticker, make_spawn
from llm_service.adapters.runtime.clock import SystemClock, uuid7
from llm_service.adapters.sql.counters import SqlEpochs, SqlFailedLogins
from llm_service.adapters.sql.errors import DatabaseFault
from llm_service.adapters.sql.history import SqlHistory
from llm_service.adapters.sql.idempotency import LIFETIME_MS
from llm_service.adapters.sql.keys import SqlKeys, SqlSessions
from llm_service.adapters.sql.limits import SqlLimits
from llm_service.adapters.sql.null_history import NullHistory
from llm_service.adapters.sql.sqlite.database import Database, migrate, sqlite_path
from llm_service.adapters.sql.usage import SqlUsage
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings
from llm_service.core.access.caller import Allowance
from llm_service.core.access.failed_logins import FailedLoginThrottle
from llm_service.core.access.keyring import Keyring
from llm_service.core.access.sessions import Sessions
from llm_service.core.errors import StorageError
from llm_service.core.generation.in_flight import InFlightRegistry
from llm_service.core.generation.model import UpstreamState
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.core.generation.ports import MakeId, Provider, Reporter
from llm_service.core.generation.preparation import GenerationSettings, RequestPreparer
from llm_service.core.generation.preview import PreviewService
from llm_service.core.generation.running import RunningGenerations
from llm_service.core.generation.service import GenerationService
from llm_service.core.generation.upstream import Bulkhead, UpstreamCaller
from llm_service.core.history.ports import HistoryStore
from llm_service.core.history.service import HistoryService
from llm_service.core.limits.limiter import Limiter
from llm_service.core.limits.ports import LimitStore
from llm_service.core.services import Services
from llm_service.core.templates.ports import TemplateFaults
from llm_service.core.templates.registry import TemplateRegistry
from llm_service.core.usage.reports import UsageReports

make_id: MakeId = uuid7
CHECKOUT = Path(__file__).resolve().parents[2]
# Beside the database: the folder that is surely the service's own.
KEPT_PROMPTS = "last_good_prompts.json"
SIGNING_FILE = "secret_key"
MAKE_A_KEY = "Make one: flask keys create NAME --scope generate,history,usage"
CHECKOUT_FOLDERS = ("templates_html", "static")
# Between a generation's deadline and the moment when its row is surely nobody's any more.
INTERRUPT_MARGIN_S = 10
# Before the grace ends, so that the last events and rows still get out.
LAST_WORDS_S = 2
TICK_S = 0.5
SWEEP_S = 20
# Edited prompt files are in use within two seconds, also on a busy machine.
LOOK_S = 0.5
PRUNE_S = 600
REPLAY_S = 2
# A cache is empty everywhere within a second, and a key's last use is known to the minute.
CLEARED_LOOK_S = 0.8
KEY_USES_S = 20
DAY_S = 24 * 3600
# After the runs were interrupted: for their upstream calls to end.
HANG_UP_S = 1


class StartError(Exception):
    """The service must not start; `lines` say why, `exit_code` is the process's."""

    def __init__(self, lines: list[str], exit_code: int) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.exit_code = exit_code


def check_start(settings: Settings, needs_key: str | None = None) -> None:
    """Everything that can be refused before a worker starts; migrates the database.

    `needs_key`: why it cannot be open to everyone where it listens, beyond what the settings say.
    Raises `StartError`.
    """
    if refusals := settings.refusals():
        raise StartError(refusals, EXIT_CONFIG)
    if missing := [name for name in CHECKOUT_FOLDERS if not (CHECKOUT / name).is_dir()]:
        raise StartError(
            [f"{CHECKOUT / name}: the program runs from its checkout, which holds it" for name in missing], 1
        )
    load_library(settings)
    load_prices(settings)
    migrate_database(settings)
    signing_secret(settings)
    refuse_to_be_open(settings, needs_key or settings.needs_key)


def refuse_to_be_open(settings: Settings, needs_key: str | None) -> None:
    """Raises `StartError` with the command that makes a key, where one is needed and there is none."""
    if needs_key is None:
        return
    with keyring(settings) as keys:
        if not keys.has_usable_key():
            raise StartError([f"{needs_key}, and there is no usable API key yet. {MAKE_A_KEY}"], EXIT_CONFIG)


def signing_secret(settings: Settings) -> bytes:
    """The one that is set, or one that is made beside the database at the first start.

    Raises `StartError`.
    """
    if settings.secret_key is not None:
        return settings.secret_key.value.encode()
    try:
        return read_or_make(sqlite_path(settings.database_url).with_name(SIGNING_FILE)).encode()
    except SecretFileError as error:
        raise StartError([str(error)], EXIT_CONFIG) from error


def load_library(settings: Settings, *, run_tests: bool = True, kept: Path | None = None) -> TemplateRegistry:
    """`kept`: where the last good set is, for a worker that starts while a file is broken.

    Raises `StartError` with file, line and fault of each broken file, and of each test in one that fails.
    """
    folder = PromptFolder(
        settings.prompts_dir, default_max_chars=settings.input_max_chars, run_tests=run_tests, kept=kept
    )
    try:
        return TemplateRegistry(folder, LogReporter(), falls_back=kept is not None)
    except TemplateFaults as error:
        raise StartError([str(fault) for fault in error.faults], 1) from error


def load_prices(settings: Settings) -> ModelPrices:
    """Raises `StartError`."""
    path = settings.prices_file
    try:
        own = read_prices(path) if path else {}
    except PricesFileError as error:
        raise StartError([f"APP_PRICES_FILE: {error}"], EXIT_CONFIG) from error
    # The echo is no model that anyone could have published a price for.
    return ModelPrices(own, public=settings.chosen_provider != ECHO)


def migrate_database(settings: Settings) -> bool:
    """True if there was anything to do.

    Raises `StartError`.
    """
    try:
        return migrate(settings.database_url)
    except DatabaseFault as error:
        raise StartError([str(error)], 1) from error


def open_database(settings: Settings) -> Database:
    """Raises `StartError`."""
    try:
        return Database(settings.database_url)
    except DatabaseFault as error:
        raise StartError([str(error)], 1) from error


@contextmanager
def keyring(settings: Settings) -> Iterator[Keyring]:
    """The keys alone, for a command.

    Raises `StartError`.
    """
    database = open_database(settings)
    try:
        yield Keyring(SqlKeys(database), SystemClock(), secrets.token_bytes)
    finally:
        database.close()


def invalidate_caches(settings: Settings) -> None:
    """Every process empties its cache within a second.

    Raises `StartError`.
    """
    database = open_database(settings)
    try:
        CacheInvalidator(MemoryCache(ttl_s=1, max_entries=0), SqlEpochs(database)).clear()
    finally:
        database.close()


@contextmanager
def usage_reports(settings: Settings) -> Iterator[UsageReports]:
    """The sums of usage alone, for a command.

    Raises `StartError`.
    """
    database = open_database(settings)
    try:
        yield UsageReports(SqlUsage(database))
    finally:
        database.close()


def build_services(settings: Settings) -> Services:
    """Open everything. Call it once per process, after the fork; `Services.close` ends it.

    Raises `StartError`.
    """
    database = open_database(settings)
    library, prices = load_library(settings, kept=database.path.parent / KEPT_PROMPTS), load_prices(settings)
    provider = RetryingProvider(build_provider(settings))
    store = history_of(settings, database)
    clock, spawn, reporter = SystemClock(), make_spawn(), LogReporter()
    # No text outlives in the cache what the history may keep.
    ttl_s = min(settings.cache_ttl_s, settings.history_days * DAY_S)
    cache = MemoryCache(ttl_s=ttl_s, max_entries=settings.cache_max_entries)
    slots = Bulkhead(settings.upstream_slots)
    outcomes = OutcomeRecorder(store, open_spool(settings), clock, reporter)
    runs = InFlightRegistry(
        history=store,
        outcomes=outcomes,
        clock=clock,
        reporter=reporter,
        make_id=make_id,
        abandon_grace_s=settings.abandon_grace_s,
    )
    calls = UpstreamCaller(
        provider=provider,
        prices=prices,
        cache=cache,
        history=store,
        outcomes=outcomes,
        clock=clock,
        runs=runs,
        slots=slots,
        spawn=spawn,
        reporter=reporter,
    )
    models = build_models(settings)
    limits = GenerationSettings(
        deadline_s=settings.deadline_s,
        max_output_tokens=settings.max_output_tokens,
        share_cache=settings.cache_scope == "shared",
        can_repeat=settings.history == "full",
        everyone=allowance_of_everyone(settings),
    )
    limit_store = SqlLimits(database)
    limiter = Limiter(
        limit_store, prices, clock, everyone=limits.everyone, lapse_s=settings.deadline_s + INTERRUPT_MARGIN_S
    )
    prepare = RequestPreparer(library, models, provider.identity, limits)
    generate = GenerationService(
        prepare=prepare,
        provider=provider.name,
        cache=cache,
        flights=MemorySingleFlight(),
        history=store,
        calls=calls,
        runs=runs,
        clock=clock,
        limits=limits,
        limiter=limiter,
    )
    live = RunningGenerations(runs, store, clock)
    clearing = CacheInvalidator(cache, SqlEpochs(database))
    keyring = Keyring(SqlKeys(database), clock, secrets.token_bytes)
    sessions = Sessions(SqlSessions(database), keyring, clock, secrets.token_bytes, signing_secret(settings))
    attempts = FailedLoginThrottle(SqlFailedLogins(database), clock)
    ticker = Ticker(spawn, reporter)
    schedule_housekeeping(ticker, settings, runs, store, limit_store, outcomes, clock, reporter)
    ticker.every(LOOK_S, library.refresh)
    ticker.every(CLEARED_LOOK_S, skip_if_storage_down(clearing.look))
    ticker.every(KEY_USES_S, skip_if_storage_down(keyring.save_last_used))
    ticker.every(PRUNE_S, skip_if_storage_down(sessions.prune))
    ticker.every(PRUNE_S, skip_if_storage_down(attempts.prune))

    def upstream_state() -> UpstreamState:
        return UpstreamState(slots.taken, slots.size, provider.breaker.state, provider.budget.taken)

    def warm() -> None:
        provider.warm()
        prices.warm()

    def shut_down() -> None:
        runs.shut_down(clock.monotonic() + max(0.0, settings.grace_s - LAST_WORDS_S))

    def close() -> None:
        runs.drain(time.sleep)
        until = clock.monotonic() + HANG_UP_S
        while slots.taken and clock.monotonic() < until:
            time.sleep(0.01)
        ticker.close()
        provider.close()
        skip_if_storage_down(keyring.save_last_used)()
        store.close()

    return Services(
        library=library,
        models=models,
        generate=generate,
        preview=PreviewService(prepare, cache, prices),
        history=HistoryService(store, cache, live, keeps=settings.history),
        usage=UsageReports(SqlUsage(database)),
        limiter=limiter,
        live=live,
        runs=runs,
        store=store,
        cache=cache,
        clearing=clearing,
        keyring=keyring,
        sessions=sessions,
        attempts=attempts,
        provider=provider,
        prices=prices,
        clock=clock,
        upstream_state=upstream_state,
        warm=warm,
        shut_down=shut_down,
        close=close,
    )


def open_history(settings: Settings) -> HistoryStore:
    """The history alone, for a command.

    Raises `StartError`.
    """
    return history_of(settings, open_database(settings))


def history_of(settings: Settings, database: Database) -> HistoryStore:
    """As much of it as the operator wants to keep; it closes the database."""
    if settings.history == "off":
        return NullHistory(database)
    return SqlHistory(database, keeps_texts=settings.history == "full")


def open_spool(settings: Settings) -> FileSpool:
    """Beside the database: on the disk that the operator gave to what must last."""
    path = sqlite_path(settings.database_url)
    return FileSpool(path.with_name(f"{path.name}.spool"), keeps_texts=settings.history == "full")


def prune_before_ms(settings: Settings, now_ms: int) -> int:
    """What began before is kept no longer."""
    return now_ms - settings.history_days * DAY_S * 1000


def schedule_housekeeping(
    ticker: Ticker,
    settings: Settings,
    runs: InFlightRegistry,
    store: HistoryStore,
    limits: LimitStore,
    outcomes: OutcomeRecorder,
    clock: SystemClock,
    reporter: Reporter,
) -> None:
    """What a process does now and then, whoever calls."""

    def replay() -> None:
        # A database that is still out of reach is no news.
        try:
            with suppress(StorageError):
                outcomes.replay()
        except OSError as error:
            # Nor does a file that cannot be read keep the service from starting.
            reporter.unexpected_error(error)

    def sweep() -> None:
        now_ms = clock.now_ms()
        store.interrupt_older_than(now_ms - round((settings.deadline_s + INTERRUPT_MARGIN_S) * 1000), now_ms)
        # Where the history has no row of what a dead process held.
        limits.expire(now_ms)

    # First what was paid for: the sweep takes it for interrupted.
    replay()
    sweep()
    ticker.every(TICK_S, runs.tick)
    ticker.every(REPLAY_S, replay)
    ticker.every(SWEEP_S, sweep)
    ticker.every(PRUNE_S, lambda: limits.prune(clock.now_ms()))
    ticker.every(PRUNE_S, lambda: store.prune_keys(clock.now_ms() - LIFETIME_MS))
    ticker.every(PRUNE_S, lambda: store.prune(prune_before_ms(settings, clock.now_ms())))


def allowance_of_everyone(settings: Settings) -> Allowance:
    """What all callers together may; 0 in a setting = no limit."""
    return Allowance(
        generations_per_minute=settings.limit_rpm or None,
        concurrent=settings.limit_concurrent or None,
        usd_per_day=settings.budget_usd_day or None,
        tokens_per_day=settings.budget_tokens_day or None,
    )


def skip_if_storage_down(work: Callable[[], None]) -> Callable[[], None]:
    """What can as well be done the next time: that the database is away is told by those who need it now."""

    def quietly() -> None:
        with suppress(StorageError):
            work()

    return quietly


def build_models(settings: Settings) -> AllowedModels:
    stand_in = ECHO if settings.chosen_provider == ECHO else None
    return AllowedModels(settings.openai_model, settings.allowed_models, stand_in)


def build_provider(settings: Settings) -> Provider:
    """Raises `StartError` where no provider is configured."""
    if settings.chosen_provider == "openai":
        key = settings.openai_api_key
        return OpenAIProvider(
            api_key=key.value if key else None,
            base_url=settings.openai_base_url,
            idle_timeout_s=settings.idle_timeout_s,
        )
    if settings.chosen_provider == "echo":
        return EchoProvider()
    raise StartError(settings.refusals(), EXIT_CONFIG)
