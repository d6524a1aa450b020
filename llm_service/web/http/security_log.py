"""What happens at the doors, as log lines of `llm_service.security`. They name keys by their ids, and show no secret."""

from typing import Any

import structlog
from flask import g, request

from .loopback import client_address

log = structlog.get_logger("llm_service.security")


def record(event: str, **facts: Any) -> None:
    """With who it was, as far as that is known, from where, and at which route."""
    caller = g.get("caller")
    about = {
        "key_id": caller.key_id if caller else None,
        "owner": caller.owner if caller else None,
        "client": client_address(),
        "route": request.url_rule.rule if request.url_rule else None,
        "method": request.method,
    }
    log.info(event, **{**about, **facts})
