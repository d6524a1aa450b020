"""Liveness, readiness and status."""

import marshmallow as ma
from marshmallow import fields, validate

from .base import meta


class HealthSchema(ma.Schema):
    status = fields.String(required=True, validate=validate.OneOf(["ok"]), metadata=meta("Always `ok`."))
    service = fields.String(required=True, metadata=meta("The service's name.", "LLM API Service"))
    env = fields.String(required=True, validate=validate.OneOf(["dev", "prod"]), metadata=meta("The environment."))


_CHECK = "`ok`, or what is wrong; without a key only the name of the error, or `failing`."


class ChecksSchema(ma.Schema):
    database = fields.String(required=True, metadata=meta(_CHECK, "ok"))
    cache = fields.String(required=True, metadata=meta(_CHECK, "ok"))
    templates = fields.String(required=True, metadata=meta(_CHECK, "ok"))
    provider = fields.String(required=True, metadata=meta(f"`warming up`, or: {_CHECK}", "ok"))


class ReadySchema(ma.Schema):
    status = fields.String(
        required=True,
        validate=validate.OneOf(["ready", "degraded", "not-ready"]),
        metadata=meta("`degraded`: the service works; `not-ready`: HTTP status 503."),
    )
    checks = fields.Nested(ChecksSchema, required=True)


class CacheSchema(ma.Schema):
    backend = fields.String(
        required=True, metadata=meta("Where answers are cached: `memory` of each process, or `redis`.", "memory")
    )
    entries = fields.Integer(required=True, metadata=meta("Number of cached answers."))
    max_entries = fields.Integer(required=True, metadata=meta("Maximum number of entries; 0 = no cache.", 10000))
    bytes = fields.Integer(required=True, metadata=meta("Size of the cached answers in bytes."))
    max_bytes = fields.Integer(required=True, metadata=meta("Maximum of `bytes`.", 268435456))
    hits = fields.Integer(required=True, metadata=meta("Lookups that found an answer, since this process started."))
    misses = fields.Integer(required=True, metadata=meta("Lookups that found no answer, since this process started."))
    coalesced = fields.Integer(
        required=True, metadata=meta("Requests that shared another request's call, since this process started.")
    )


class UpstreamSchema(ma.Schema):
    in_flight = fields.Integer(required=True, metadata=meta("Running calls."))
    slots = fields.Integer(required=True, metadata=meta("Maximum number of running calls.", 500))
    circuit = fields.String(
        required=True,
        validate=validate.OneOf(["closed", "open", "half-open"]),
        metadata=meta(
            "The worst circuit breaker. `open`: the provider, or one of its models, failed too often and is not called for a "
            "moment.",
            "closed",
        ),
    )
    retries_last_minute = fields.Integer(required=True, metadata=meta("Retried calls in the last minute."))


class ProviderSchema(UpstreamSchema):
    name = fields.String(required=True, metadata=meta("The provider's name.", "openai"))
    kind = fields.String(
        required=True,
        validate=validate.OneOf(["responses", "chat", "azure", "echo"]),
        metadata=meta("Its API; `echo` calls no model.", "responses"),
    )
    models = fields.List(
        fields.String(),
        required=True,
        metadata=meta("Those of its models that a request may ask for, and their fallbacks.", ["gpt-4o-mini"]),
    )
    circuits = fields.Dict(
        keys=fields.String(),
        values=fields.String(validate=validate.OneOf(["closed", "open", "half-open"])),
        required=True,
        metadata=meta("The circuit breakers of its models that were called.", {"gpt-4o-mini": "closed"}),
    )
    error = fields.String(
        required=True, allow_none=True, metadata=meta("Why calls would fail now; null = no known error.")
    )


class StatusSchema(ma.Schema):
    service = fields.String(required=True, metadata=meta("The service's name.", "LLM API Service"))
    env = fields.String(required=True, metadata=meta("The environment.", "dev"))
    version = fields.String(required=True, metadata=meta("The program's version.", "0.1.0"))
    model = fields.String(
        required=True, metadata=meta("The default model; `echo` = no model is called.", "gpt-4o-mini")
    )
    models = fields.List(fields.String(), required=True, metadata=meta("Allowed values of `model` in a request."))
    provider = fields.String(
        required=True,
        metadata=meta("The default model's provider: `openai`, `echo`, or a name of the providers file.", "openai"),
    )
    templates = fields.List(fields.String(), required=True, metadata=meta("Ids of the templates."))
    template_faults = fields.List(
        fields.String(),
        required=True,
        metadata=meta(
            "Errors in the current prompt files, with file and line. While there are errors, the last valid templates stay "
            "in use."
        ),
    )
    cache_size = fields.Integer(required=True, metadata=meta("Number of cached answers, as `cache.entries`."))
    cache = fields.Nested(CacheSchema, required=True)
    running = fields.Integer(required=True, metadata=meta("Running generations in this process."))
    upstream = fields.Nested(UpstreamSchema, required=True, metadata={"description": "All providers together."})
    providers = fields.List(fields.Nested(ProviderSchema), required=True, metadata=meta("The state of each provider."))
    provider_faults = fields.List(
        fields.String(),
        required=True,
        metadata=meta(
            "Errors in the current providers file, with file and line. While there are errors, the last valid providers stay "
            "in use."
        ),
    )
    uptime_s = fields.Float(required=True, metadata=meta("Seconds since this process started.", 12.5))
