"""The one place that chooses adapters, and that closes them."""

import secrets
import time

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.memory.invalidation import CacheInvalidator
from llm_service.adapters.memory.single_flight import MemorySingleFlight
from llm_service.adapters.observability.logs import LogReporter
from llm_service.adapters.providers.echo import NAME as ECHO
from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.providers.openai_responses.provider import OpenAIProvider
from llm_service.adapters.providers.retry import RetryingProvider
from llm_service.adapters.runtime.background import Ticker, make_spawn
from llm_service.adapters.runtime.clock import SystemClock, uuid7
from llm_service.adapters.sql.counters import SqlEpochs, SqlFailedLogins
from llm_service.adapters.sql.keys import SqlKeys, SqlSessions
from llm_service.adapters.sql.limits import SqlLimits
from llm_service.adapters.sql.usage import SqlUsage
from llm_service.bootstrap.errors import StartError
from llm_service.bootstrap.housekeeping import (
    DAY_S,
    INTERRUPT_MARGIN_S,
    PRUNE_S,
    schedule_housekeeping,
    skip_if_storage_down,
)
from llm_service.bootstrap.resources import (
    history_of,
    kept_prompts,
    load_prices,
    load_templates,
    open_database,
    open_spool,
    signing_secret,
)
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings
from llm_service.core.access.caller import Allowance
from llm_service.core.access.failed_logins import FailedLoginThrottle
from llm_service.core.access.keyring import Keyring
from llm_service.core.access.sessions import Sessions
from llm_service.core.generation.in_flight import InFlightRegistry
from llm_service.core.generation.model import UpstreamState
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.core.generation.ports import MakeId, Provider
from llm_service.core.generation.preparation import GenerationSettings, RequestPreparer
from llm_service.core.generation.preview import PreviewService
from llm_service.core.generation.running import RunningGenerations
from llm_service.core.generation.service import GenerationService
from llm_service.core.generation.upstream import Bulkhead, UpstreamCaller
from llm_service.core.history.service import HistoryService
from llm_service.core.limits.limiter import Limiter
from llm_service.core.services import Services
from llm_service.core.usage.reports import UsageReports

make_id: MakeId = uuid7
# Before the grace ends, so that the last events and rows still get out.
LAST_WORDS_S = 2
# Edited prompt files are in use within two seconds, also on a busy machine.
LOOK_S = 0.5
# A cache is empty everywhere within a second, and a key's last use is known to the minute.
CLEARED_LOOK_S = 0.8
KEY_USES_S = 20
# After the runs were interrupted: for their upstream calls to end.
HANG_UP_S = 1


def build_services(settings: Settings) -> Services:
    """Open everything. Call it once per process, after the fork; `Services.close` ends it.

    Raises `StartError`.
    """
    database = open_database(settings)
    library, prices = load_templates(settings, kept=kept_prompts(settings)), load_prices(settings)
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
    ticker.every(KEY_USES_S, skip_if_storage_down(keyring.keep_uses))
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
        skip_if_storage_down(keyring.keep_uses)()
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


def allowance_of_everyone(settings: Settings) -> Allowance:
    """What all callers together may; 0 in a setting = no limit."""
    return Allowance(
        generations_per_minute=settings.limit_rpm or None,
        concurrent=settings.limit_concurrent or None,
        usd_per_day=settings.budget_usd_day or None,
        tokens_per_day=settings.budget_tokens_day or None,
    )


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
