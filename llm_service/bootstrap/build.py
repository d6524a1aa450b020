"""The only place that chooses adapters and closes them."""

import secrets
from contextlib import ExitStack
from typing import Any

from llm_service.adapters.observability.logs import LogReporter
from llm_service.adapters.prompty.sources import SourceParser
from llm_service.adapters.runtime.background import Ticker, make_spawn
from llm_service.adapters.runtime.clock import SystemClock, uuid7
from llm_service.adapters.sql.epochs import SqlEpochs
from llm_service.adapters.sql.failed_logins import SqlFailedLogins
from llm_service.adapters.sql.idempotency import SqlIdempotency
from llm_service.adapters.sql.keys import SqlKeys, SqlSessions
from llm_service.adapters.sql.limits import SqlLimits
from llm_service.adapters.sql.retention import SqlRetention
from llm_service.adapters.sql.sqlite.thread_pool import ThreadPool
from llm_service.adapters.sql.usage import SqlUsage
from llm_service.bootstrap.flights import make_flights
from llm_service.bootstrap.housekeeping import INTERRUPT_MARGIN_S, Housekeeping, skip_if_storage_down
from llm_service.bootstrap.presence import open_presence
from llm_service.bootstrap.providers import build_registry
from llm_service.bootstrap.redis import make_cache, open_redis
from llm_service.bootstrap.resources import (
    kept_prompts,
    kept_providers,
    load_prices,
    load_templates,
    open_database,
    open_spool,
    signing_secret,
)
from llm_service.bootstrap.retention import WholeRetention
from llm_service.bootstrap.settings import Settings
from llm_service.bootstrap.stores import history_stores
from llm_service.bootstrap.wake_ups import make_wake_ups
from llm_service.core.access.caller import UNLIMITED, Allowance
from llm_service.core.access.failed_logins import FailedLoginThrottle
from llm_service.core.access.keyring import Keyring
from llm_service.core.access.sessions import Sessions
from llm_service.core.generation.endings import Endings
from llm_service.core.generation.in_flight import Collaborators
from llm_service.core.generation.orphans import Orphans
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.core.generation.ports import MakeId
from llm_service.core.generation.preparation import GenerationSettings, RequestPreparer
from llm_service.core.generation.preview import PreviewService
from llm_service.core.generation.recent import Recent
from llm_service.core.generation.registry import InFlightRegistry
from llm_service.core.generation.running import RunningGenerations
from llm_service.core.generation.service import GenerationService
from llm_service.core.generation.subscriptions import Subscriptions
from llm_service.core.generation.upstream import UpstreamCaller
from llm_service.core.history.service import HistoryService
from llm_service.core.limits.limiter import Limiter
from llm_service.core.services import Services
from llm_service.core.templates.revisions import RevisionService
from llm_service.core.usage.reports import UsageReports

# How often a process says that it is alive, where the kernel does not tell.
BEAT_S = 2.0
make_id: MakeId = uuid7
# Before the grace ends: time for the last events and rows.
LAST_EVENTS_S = 2
# After the generations were interrupted: time for their upstream calls to end, and for the bills of these.
HANG_UP_S = 1


def build_services(settings: Settings, make_ticker: type[Ticker] = Ticker) -> Services:
    """Open everything. Call it once per process, after the fork; `Services.close` ends it.

    Raises `StartError`.
    """
    opened = ExitStack()
    try:
        return _services(settings, opened, make_ticker)
    except BaseException:
        opened.close()  # the caller may try again
        raise


def _services(settings: Settings, opened: ExitStack, make_ticker: type[Ticker]) -> Services:
    """Closing `opened` closes what it has opened so far, the last one first."""
    database = open_database(settings)
    opened.callback(database.close)
    presence = open_presence(settings, database)
    opened.callback(skip_if_storage_down(presence.close))
    clock, spawn, reporter = SystemClock(), make_spawn(), LogReporter()
    templates, prices = load_templates(settings, kept=kept_prompts(settings)), load_prices(settings)
    providers, bounds = build_registry(settings, prices, kept=kept_providers(settings)), _generation_settings(settings)
    opened.callback(providers.close)
    stores, limit_store, spool = (
        history_stores(database, settings.history, presence.process_id),
        SqlLimits(database),
        open_spool(settings),
    )
    retention = WholeRetention(SqlRetention(database), spool)
    redis = open_redis(settings, clock, reporter)
    if redis is not None:
        opened.callback(redis.close)
    wake_ups = make_wake_ups(redis, spawn, reporter)
    opened.callback(wake_ups.close)
    cache = make_cache(settings, SqlEpochs(database), redis, wake_ups)
    registry = InFlightRegistry(
        clock, spawn, reporter, stores.remote, presence, abandon_grace_s=settings.abandon_grace_s, wake_ups=wake_ups
    )
    recorder = OutcomeRecorder(stores.generations, spool, clock, reporter)
    revisions = RevisionService(templates, stores.revisions, SourceParser(settings.input_max_chars), clock)
    preparer, bodies = RequestPreparer(templates, providers, providers, bounds, clock, revisions), Recent[Any](clock)
    expire_s = settings.deadline_s + INTERRUPT_MARGIN_S
    orphans = Orphans(stores.generations, limit_store, recorder, registry, presence, clock, expire_s=expire_s)
    endings = Endings(wake_ups, clock) if redis else None
    flights = make_flights(redis, wake_ups, registry, clock, spawn)
    opened.callback(flights.close)
    subscriptions = Subscriptions(registry, stores.generations, orphans, clock, endings, flights.texts)
    limiter = Limiter(limit_store, prices, clock, everyone=bounds.everyone, expire_s=expire_s)
    generation = GenerationService(
        preparer=preparer,
        single_flight=flights.calls,
        store=stores.generations,
        idempotency=stores.idempotency,
        upstream=UpstreamCaller(registry, clock, spawn, reporter),
        registry=registry,
        subscriptions=subscriptions,
        collaborators=Collaborators(registry, recorder, cache, prices, clock, reporter, make_id),
        settings=bounds,
        limiter=limiter,
        space=database.space,
        revisions=revisions,
    )
    running = RunningGenerations(registry, stores.generations, stores.remote, recorder, subscriptions, wake_ups)
    keyring = Keyring(SqlKeys(database), clock, secrets.token_bytes, wake_ups)
    sessions = Sessions(SqlSessions(database), keyring, clock, secrets.token_bytes, signing_secret(settings))
    failed_logins = FailedLoginThrottle(SqlFailedLogins(database), clock)
    # One thread: more of them would take turns with the event loop more often.
    computing = ThreadPool(1)
    opened.callback(computing.close)
    ticker = make_ticker(spawn, reporter)
    opened.callback(ticker.close)
    housekeeping = Housekeeping(
        templates=templates,
        providers=providers,
        registry=registry,
        recorder=recorder,
        orphans=orphans,
        idempotency=SqlIdempotency(database),
        retention=retention,
        limits=limit_store,
        cache=cache,
        redis=redis,
        recent=(preparer.recent, bodies),
        keyring=keyring,
        sessions=sessions,
        failed_logins=failed_logins,
        space=database.space,
        clock=clock,
        reporter=reporter,
        history_days=settings.history_days,
        wake_ups=wake_ups,
    )
    ticker.every(BEAT_S, skip_if_storage_down(presence.beat))
    housekeeping.start(ticker, alone=presence.alone, sweep_s=presence.sweep_s)
    flights.start(ticker, wake_ups)
    wake_ups.start()
    presence.settle()

    def warm() -> None:
        providers.warm()
        prices.warm()

    def shut_down() -> None:
        registry.shut_down(clock.monotonic() + max(0.0, settings.grace_s - LAST_EVENTS_S))

    def close() -> None:
        registry.drain()
        until = clock.monotonic() + HANG_UP_S
        while (providers.state().in_flight or registry.awaits_bills) and clock.monotonic() < until:
            clock.sleep(0.01)
        ticker.close()
        skip_if_storage_down(keyring.save_last_used)()
        opened.close()

    return Services(
        template_registry=templates,
        revisions=revisions,
        model_source=providers,
        generation=generation,
        preview=PreviewService(preparer, cache, prices),
        recent_bodies=bodies,
        history=HistoryService(
            stores.generations, stores.queries, retention, cache, running, marks=stores.marks, keeps=settings.history
        ),
        usage=UsageReports(SqlUsage(database)),
        limiter=limiter,
        running=running,
        in_flight=registry,
        storage=database,
        cache=cache,
        keyring=keyring,
        sessions=sessions,
        failed_logins=failed_logins,
        providers=providers,
        prices=prices,
        clock=clock,
        in_thread=computing.run,
        warm=warm,
        shut_down=shut_down,
        close=close,
    )


def _generation_settings(settings: Settings) -> GenerationSettings:
    return GenerationSettings(
        deadline_s=settings.deadline_s,
        max_output_tokens=settings.max_output_tokens,
        share_cache=settings.cache_scope == "shared",
        everyone=allowance_of_everyone(settings),
    )


def allowance_of_everyone(settings: Settings) -> Allowance:
    """The limits of all callers together; 0 in a setting = no limit."""
    allowance = Allowance(
        generations_per_minute=settings.limit_rpm or None,
        concurrent=settings.limit_concurrent or None,
        usd_per_day=settings.budget_usd_day or None,
        tokens_per_day=settings.budget_tokens_day or None,
    )
    return UNLIMITED if allowance == UNLIMITED else allowance
