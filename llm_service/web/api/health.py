"""Liveness, readiness and status."""

import time
from collections.abc import Sequence
from typing import Any

from flask import Response, current_app, g

from llm_service import __version__
from llm_service.core.errors import StorageBusy, StorageError, StorageFull, StorageUnavailable
from llm_service.core.generation.model import ProviderState, UpstreamState

from ..context import caller, provider_of, services
from ..schemas.health import HealthSchema, ReadySchema, StatusSchema
from .blueprint import Blueprint, json_response

# What a check may say to anyone.
PUBLIC_WORDS = ("ok", "warming up", *(error.code for error in (StorageUnavailable, StorageBusy, StorageFull)))

blp = Blueprint("health", __name__, url_prefix="/api/v1", description="Liveness, readiness and status")


@blp.route("/health")
@blp.response(200, HealthSchema)
@blp.doc(operationId="getHealth", security=[])
def health() -> Response:
    """Check liveness

    Uses neither the database nor the provider.
    """
    return json_response(
        {"status": "ok", "service": current_app.config["SERVICE_NAME"], "env": current_app.config["SERVICE_ENV"]}
    )


@blp.route("/ready")
@blp.response(200, ReadySchema)
@blp.alt_response(503, schema=ReadySchema, description="`not-ready`: do not send requests")
@blp.doc(operationId="getReady", security=[])
def ready() -> Response:
    """Check readiness

    `ready`; `degraded` (it works, but an operator should look at it); or `not-ready` with status 503. With a key, a failing check
    says what is wrong; without one, only that it fails.
    """
    checks, usable = _checks()
    all_ok = all(value == "ok" for value in checks.values())
    if g.caller is None:
        # The details name files, lines, models and settings.
        checks = {name: value if value in PUBLIC_WORDS else "failing" for name, value in checks.items()}
    state = "ready" if all_ok else "degraded" if usable else "not-ready"
    return json_response({"status": state, "checks": checks}, 200 if usable else 503)


@blp.route("/status")
@blp.response(200, StatusSchema)
@blp.problems("not-authenticated")
@blp.doc(operationId="getStatus")
def status() -> Response:
    """Get the service's status

    Configuration, cache and counters. Counters are those of the process that answers.
    """
    return json_response(status_json())


def status_json() -> dict[str, Any]:
    has = services()
    cache, upstream, models = has.cache.stats(), has.providers.state(), has.models.of(caller())
    providers = has.providers.states()
    return {
        "service": current_app.config["SERVICE_NAME"],
        "env": current_app.config["SERVICE_ENV"],
        "version": __version__,
        "model": models.stand_in or models.default,
        "models": models.listed,
        "provider": provider_of(models.default, providers).name,
        "templates": has.templates.ids,
        "template_faults": [fault.shown for fault in has.template_registry.faults],
        "cache_size": cache.entries,
        "cache": {
            "backend": cache.backend,
            "entries": cache.entries,
            "max_entries": cache.max_entries,
            "bytes": cache.bytes,
            "max_bytes": cache.max_bytes,
            "hits": cache.hits,
            "misses": cache.misses,
            "coalesced": cache.coalesced,
        },
        "running": len(has.in_flight),
        "upstream": _upstream_json(upstream),
        "providers": [_provider_json(state, models.listed_with_fallbacks) for state in providers],
        "provider_faults": [fault.shown for fault in has.providers.faults],
        "uptime_s": round(time.monotonic() - current_app.config["STARTED_MONOTONIC"], 1),
    }


def _upstream_json(upstream: UpstreamState) -> dict[str, Any]:
    return {
        "in_flight": upstream.in_flight,
        "slots": upstream.slots,
        "circuit": upstream.circuit,
        "retries_last_minute": upstream.retries_last_minute,
    }


def _provider_json(state: ProviderState, shown: Sequence[str]) -> dict[str, Any]:
    return {
        "name": state.name,
        "kind": state.kind,
        "models": [model for model in state.models if model in shown],
        **_upstream_json(state.upstream),
        "circuits": {model: circuit for model, circuit in state.circuits.items() if model in shown},
        "error": state.health_error,
    }


def _checks() -> tuple[dict[str, str], bool]:
    has = services()
    faults = "; ".join(fault.shown for fault in has.template_registry.faults)
    checks = {
        "database": "ok",
        "cache": has.cache.health_error() or "ok",
        "templates": faults or "ok",
        "provider": has.providers.health_error() or "ok",
    }
    usable = not has.in_flight.closing
    try:
        has.storage.check()
    except StorageError as error:
        checks["database"], usable = error.code, False
    if not has.providers.warmed:
        checks["provider"], usable = "warming up", False
    return checks, usable
