"""Logs as JSON lines on standard error: one line per event, UTC, with the request's id.

Prompts, outputs, keys and cookies are never logged. As a last step, known secrets and whatever looks like a key are masked.
"""

import json
import logging
import logging.config
import re
import sys
from collections.abc import Iterable, MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from llm_service.core.access.keys import KEY_PREFIX

if TYPE_CHECKING:  # gunicorn's master needs the log, and what it imports is in memory twice
    from llm_service.core.errors import ServiceError
    from llm_service.core.file_faults import FileFault
    from llm_service.core.generation.model import Generation
    from llm_service.core.templates.model import TemplateSet
    from llm_service.core.templates.ports import TemplateFault

# OpenAI's keys, this service's own, the value of an Authorization header, a password in a URL.
_PATTERNS = re.compile(
    rf"sk-[A-Za-z0-9_-]{{8,}}|{KEY_PREFIX}_[A-Za-z0-9_]{{8,}}|(?<=Bearer )\S+|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
MASK = "***"
# The longest first: one may be the beginning of another.
_masked: list[str] = []


def configure_logging(level: str, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send all log records through the same steps, as JSON. `secrets` are masked wherever they appear.

    `stream` None = standard error. The service's own records do not pass through `logging`, which took three times as long;
    those of libraries do.
    """
    stream = sys.stderr if stream is None else stream
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    _masked.clear()
    mask(secrets)
    last: list[Any] = [_redact, structlog.processors.JSONRenderer(ensure_ascii=True)]
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        "foreign_pre_chain": shared,
    }
    # At DEBUG, markdown_it writes a line for each rule that it tries.
    libraries = ("httpx2", "httpcore2", "openai", "alembic", "sqlalchemy", "markdown_it")
    quiet = {name: {"level": "WARNING"} for name in libraries}
    config: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": stream}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": quiet,
    }
    logging.config.dictConfig(config)
    structlog.configure(
        processors=[*shared, *last],
        logger_factory=lambda name="": _Logger(stream, name),
        wrapper_class=_bound_logger(level),
        cache_logger_on_first_use=False,
    )


def _bound_logger(level: str) -> Any:
    filtering: Any = structlog.make_filtering_bound_logger(level)

    class BoundLogger(filtering):  # type: ignore[misc]
        """Raises nothing, as `logging` does: a line that cannot be written must not break what it tells about."""

        def _proxy_to_logger(self, method: str, event: Any = None, /, *arguments: Any, **values: Any) -> Any:
            try:
                return super()._proxy_to_logger(method, event, *arguments, **values)
            except Exception as error:
                # For a line that cannot be made. Where none can be written, nobody can be told.
                with suppress(Exception):
                    lost = {
                        "event": "log line lost",
                        "level": "error",
                        "lost": str(event),
                        "cause": type(error).__name__,
                    }
                    self._logger.error(json.dumps(lost))

    return BoundLogger


class _Logger(structlog.WriteLogger):
    """`name` is that of the record."""

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__(stream)
        self.name = name


class LogReporter:
    """Implements `Reporter`, `TemplateReporter`, `ProviderReporter` and `RedisReporter` with log lines."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("llm_service")

    def ended(self, generation: "Generation") -> None:
        self._log.warning(
            "generation",
            request_id=generation.request_id,
            status=generation.status.value,
            error=generation.error,
            model=generation.model,
            attempts=generation.attempts,
            ms=generation.latency_ms,
        )

    def fell_back(self, generation: "Generation", error: "ServiceError") -> None:
        tried = generation.fallbacks[-1]
        self._log.warning(
            "fallback",
            request_id=generation.request_id,
            error=error.code,
            cause=error.detail,
            model=tried.model,
            provider=tried.provider,
            next=generation.model,
        )

    def templates_changed(self, templates: "TemplateSet") -> None:
        self._log.info("templates", state="changed", templates=len(templates))

    def templates_refused(self, faults: Sequence["TemplateFault"]) -> None:
        self._log.error("templates", state="refused", faults=[str(fault) for fault in faults])

    def templates_not_kept(self, error: OSError) -> None:
        # A worker that starts while a prompt file is broken will not find a good set.
        self._log.warning("templates", state="not kept", cause=error.strerror)

    def providers_changed(self, names: Sequence[str]) -> None:
        self._log.info("providers", state="changed", providers=list(names))

    def providers_refused(self, faults: Sequence["FileFault"]) -> None:
        self._log.error("providers", state="refused", faults=[str(fault) for fault in faults])

    def providers_not_kept(self, error: OSError) -> None:
        # A worker that starts while the file has faults will not find good providers.
        self._log.warning("providers", state="not kept", cause=error.strerror)

    def redis_away(self, reason: str) -> None:
        self._log.warning("redis", state="away", cause=reason)

    def redis_back(self) -> None:
        self._log.info("redis", state="back")

    def unexpected_error(self, error: Exception, request_id: str | None = None) -> None:
        self._log.error("unexpected error", exc_info=error, request_id=request_id)


def mask(secrets: Iterable[str]) -> None:
    """Mask these from now on, too, such as the keys of a providers file."""
    _masked[:] = sorted({*_masked, *(secret for secret in secrets if len(secret) >= 4)}, key=len, reverse=True)


def _redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # One look at all values: nearly no line has anything to hide.
    texts = [value for value in event.values() if isinstance(value, str)]
    plain = sum(value is None or isinstance(value, int | float) for value in event.values())
    if len(texts) + plain == len(event):
        text = " ".join(texts)
        if not any(secret in text for secret in _masked) and not _PATTERNS.search(text):
            return event
    return {key: _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        for secret in _masked:
            value = value.replace(secret, MASK)
        return _PATTERNS.sub(MASK, value)
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value
