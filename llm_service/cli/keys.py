"""`flask keys`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click
import structlog
from flask.cli import AppGroup

from llm_service.adapters.runtime.clock import SystemClock
from llm_service.bootstrap.resources import open_keyring
from llm_service.bootstrap.wake_ups import open_sender
from llm_service.core.access.caller import Allowance
from llm_service.core.access.keyring import Keyring
from llm_service.core.access.keys import Key, parse_expiry, parse_models, parse_scopes, parse_usd, validate_name

from .columns import aligned
from .context import current_settings
from .errors import cli_errors

security_log = structlog.get_logger("llm_service.security")
keys = AppGroup("keys", help="API keys: access to the API from other machines, and sign-in to the pages.")

_COUNT = click.IntRange(1, 1_000_000)
_COLUMNS = ("id", "name", "state", "scopes", "created", "expires", "last used", "limits")


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="generate, history, usage, admin; comma-separated."
)
@click.option("--models", multiple=True, help="Allowed models, comma-separated. Default: all models of the service.")
@click.option("--rpm", type=_COUNT, help="Generations per minute.")
@click.option("--concurrent", type=_COUNT, help="Generations at the same time.")
@click.option("--budget-usd-day", metavar="USD", help="Budget in US dollars per UTC day.")
@click.option("--budget-tokens-day", type=click.IntRange(1, 10**12), help="Budget in tokens per UTC day.")
@click.option("--expires", metavar="WHEN", help="30d, 2027-01-31 or 2027-01-31T18:00Z (UTC). Default: never.")
def create_key(
    name: str,
    scopes: tuple[str, ...],
    models: tuple[str, ...],
    rpm: int | None,
    concurrent: int | None,
    budget_usd_day: str | None,
    budget_tokens_day: int | None,
    expires: str | None,
) -> None:
    """Create a key for NAME, the owner of its history and usage, and print it. It is shown only once.

    Several keys can have the same NAME: they share its history, so one can replace another. The NAME local is the owner
    of everything that was generated without a key, on the service's own machine.
    """
    with cli_errors():
        owner, wanted = validate_name(name), parse_scopes(_by_commas(scopes))
        allowance = Allowance(
            rpm, concurrent, None if budget_usd_day is None else parse_usd(budget_usd_day), budget_tokens_day
        )
        expires_ms = None if expires is None else parse_expiry(expires, SystemClock().now_ms())
        with _announced_keyring() as ring:
            text, key = ring.make(
                owner, wanted, models=parse_models(_by_commas(models)), allowance=allowance, expires_ms=expires_ms
            )
    security_log.info("key created", key_id=key.key_id, owner=owner, scopes=sorted(wanted))
    click.echo(f"Created key {key.key_id} (owner {owner}). It is shown only once:", err=True)
    click.echo(text)


@keys.command("list")
def list_keys() -> None:
    """List all keys, oldest first, without their secrets. Times are UTC; the last use is accurate to the minute."""
    with cli_errors(), open_keyring(current_settings()) as ring:
        found = ring.all()
    now_ms = SystemClock().now_ms()
    for line in aligned([_COLUMNS, *(_cells(key, now_ms) for key in found)]):
        click.echo(line)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_key(key_id: str) -> None:
    """Revoke the key with this ID and end its browser sessions, within a second. This cannot be undone."""
    with cli_errors(), _announced_keyring() as ring:
        key = ring.revoke(key_id)
    security_log.info("key revoked", key_id=key.key_id, owner=key.owner)
    click.echo(f"Revoked key {key.key_id} (owner {key.owner}).")


@contextmanager
def _announced_keyring() -> Iterator[Keyring]:
    """The service hears at once of what is changed."""
    settings = current_settings()
    with open_sender(settings) as wake_ups, open_keyring(settings, wake_ups) as ring:
        yield ring


def _by_commas(values: tuple[str, ...]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",")]


def _cells(key: Key, now_ms: int) -> tuple[str, ...]:
    return (
        key.key_id,
        key.owner,
        key.state(now_ms),
        ",".join(sorted(key.scopes)),
        _moment(key.created_ms),
        _moment(key.expires_ms),
        _moment(key.last_used_ms),
        _limits(key) or "-",
    )


def _limits(key: Key) -> str:
    allowance = key.allowance
    named = {
        "models": ",".join(sorted(key.models)) if key.models else None,
        "rpm": allowance.generations_per_minute,
        "concurrent": allowance.concurrent,
        "usd/day": allowance.usd_per_day,
        "tokens/day": allowance.tokens_per_day,
    }
    return " ".join(f"{name}={value}" for name, value in named.items() if value is not None)


def _moment(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M}"
