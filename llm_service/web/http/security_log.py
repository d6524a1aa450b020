"""The security log, `llm_service.security`. It names keys by their ids and never contains a secret."""

from typing import Any

import structlog
from flask import g, request

from .loopback import client_address

log = structlog.get_logger("llm_service.security")


def log_security_event(event: str, **facts: Any) -> None:
    """Log with the caller (if known), the client's address and the route."""
    caller = g.get("caller")
    about = {
        "key_id": caller.key_id if caller else None,
        "owner": caller.owner if caller else None,
        "client": client_address(),
        "route": request.url_rule.rule if request.url_rule else None,
        "method": request.method,
    }
    log.info(event, **{**about, **facts})
