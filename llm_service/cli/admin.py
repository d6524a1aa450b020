"""The `flask` commands of who runs the service: its keys and its cache."""

from datetime import UTC, datetime

import click
import structlog
from flask import Flask, current_app
from flask.cli import AppGroup

from llm_service.adapters.runtime.clock import SystemClock
from llm_service.bootstrap.resources import invalidate_caches, open_keyring
from llm_service.cli.commands import cli_errors
from llm_service.core.access.caller import Allowance
from llm_service.core.access.keys import Key, parse_expiry, parse_models, parse_scopes, parse_usd, validate_name

security_log = structlog.get_logger("llm_service.security")
keys = AppGroup("keys", help="API keys: who may call the service from elsewhere, and sign in to its pages.")
cache = AppGroup("cache", help="The answers that are used again.")

_COUNT = click.IntRange(1, 1_000_000)
_COLUMNS = ("id", "name", "state", "scopes", "made", "expires", "last used", "limits")


def register_admin_commands(app: Flask) -> None:
    app.cli.add_command(keys)
    app.cli.add_command(cache)


@keys.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="generate, history, usage, admin; by commas.")
@click.option("--models", multiple=True, help="Only these models, by commas; left out = all of the service's.")
@click.option("--rpm", type=_COUNT, help="Generations in a minute.")
@click.option("--concurrent", type=_COUNT, help="Generations at the same time.")
@click.option("--budget-usd-day", metavar="USD", help="What its generations may cost in a day of UTC.")
@click.option("--budget-tokens-day", type=click.IntRange(1, 10**12), help="Tokens that they may use in a day of UTC.")
@click.option("--expires", metavar="WHEN", help="30d, 2027-01-31 or 2027-01-31T18:00Z, UTC; left out = never.")
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
    """Make a key for NAME, whom its history and usage belong to, and print it: it is shown this once.

    Several keys may have the same NAME: they share a history, so that one can take another's place. The NAME local is that of
    everyone whom the service lets in without a key on its own machine.
    """
    with cli_errors():
        owner, wanted = validate_name(name), parse_scopes(_by_commas(scopes))
        allowance = Allowance(
            rpm, concurrent, None if budget_usd_day is None else parse_usd(budget_usd_day), budget_tokens_day
        )
        expires_ms = None if expires is None else parse_expiry(expires, SystemClock().now_ms())
        with open_keyring(current_app.config["SETTINGS"]) as ring:
            text, key = ring.make(
                owner, wanted, models=parse_models(_by_commas(models)), allowance=allowance, expires_ms=expires_ms
            )
    security_log.info("key created", key_id=key.key_id, owner=owner, scopes=sorted(wanted))
    click.echo(f"The key of {owner}, id {key.key_id}. It is shown this once:", err=True)
    click.echo(text)


@keys.command("list")
def list_keys() -> None:
    """All keys, oldest first, without their secrets. Times are UTC; the last use is known to the minute."""
    with cli_errors(), open_keyring(current_app.config["SETTINGS"]) as ring:
        found = ring.all()
    now_ms = SystemClock().now_ms()
    rows = [_COLUMNS, *(_cells(key, now_ms) for key in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_key(key_id: str) -> None:
    """End the key with this ID, and every sign-in that was made with it, within a second. It cannot be undone."""
    with cli_errors(), open_keyring(current_app.config["SETTINGS"]) as ring:
        key = ring.revoke(key_id)
    security_log.info("key revoked", key_id=key.key_id, owner=key.owner)
    click.echo(f"The key {key.key_id} of {key.owner} opens nothing any more.")


@cache.command("clear")
def clear_cache() -> None:
    """Forget all cached answers, in every process of the service, within a second. The history stays."""
    with cli_errors():
        invalidate_caches(current_app.config["SETTINGS"])
    security_log.info("cache cleared", key_id=None, owner="command line")
    click.echo("The caches are emptied.")


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
