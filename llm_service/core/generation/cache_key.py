"""The cache key of an answer.

It is the SHA-256 of canonical JSON of everything that would be sent, and of whom the answer is for. It is never a list
of chosen parameters, which could miss one.
"""

import hashlib
import json
from typing import Any

from ..messages import to_plain
from .model import ProviderCall

KEY_VERSION = 2
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def key_parts(call: ProviderCall, *, provider: str, scope: str) -> dict[str, Any]:
    """The parts of the key. `scope` is the owner, or `*` if owners share answers."""
    return {
        "version": KEY_VERSION,
        "provider": provider,
        "scope": scope,
        "model": call.model,
        "messages": to_plain(call.messages),
        "options": dict(call.options),
        "output": None if call.output is None else {"name": call.output.name, "schema": dict(call.output.schema)},
    }


def cache_key(call: ProviderCall, *, provider: str, scope: str) -> str:
    """64 hex digits."""
    parts = key_parts(call, provider=provider, scope=scope)
    return hashlib.sha256(_canonical(parts).encode()).hexdigest()
