"""Upstream calls: what they bill, and what becomes of their failures."""

import socket
import threading

import pytest

from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.core import errors
from llm_service.core.errors import ServiceError, all_errors
from llm_service.core.generation.model import Billed, Delta, Retrying, Status
from llm_service.core.usage.tokens import NO_TOKENS, Usage
from tests.support.clocks import until
from tests.support.fakes import ScriptedProvider
from tests.support.world import WORD, World, again, heard


def test_every_attempt_that_reported_tokens_is_billed() -> None:
    """The answer's own counts, and what the cache saves, are those of the last attempt."""
    world = World(ScriptedProvider(Billed(Usage(5, 1, 6, 4)), *again(2), Billed(Usage()), *again(3), *WORD))
    paid, hit = world.run().generation, world.run().generation
    assert (paid.usage, paid.billed) == (Usage(1, 2, 3), Usage(6, 3, 9, 4))
    assert (paid.cost_usd, paid.saved_usd) == (4 + 3, 0)
    assert (hit.usage, hit.cost_usd, hit.saved_usd) == (Usage(1, 2, 3), 0, 3)


def test_a_failure_that_reported_tokens_is_billed() -> None:
    world = World(ScriptedProvider(Delta("a"), Billed(Usage(5, 1)), errors.UpstreamError("broke")))
    with pytest.raises(errors.UpstreamError):
        world.run()
    (row,) = world.store.rows.values()
    assert (row.status, row.usage, row.billed, row.cost_usd) == (Status.FAILED, Usage(5, 1), Usage(5, 1), 6)


@pytest.mark.parametrize("kind", sorted(all_errors(), key=str))
def test_after_the_first_text_every_failure_may_be_billed(kind: type[ServiceError]) -> None:
    """Before it, the error says whether. The attempt may be the last one, or be repeated."""
    error = errors.Failure(kind.__name__, "broke").error()
    retrying = Retrying(error.may_be_billed)
    for text, expected in (((), int(kind.may_be_billed)), ((Delta("a"),), 1)):
        failed = World(ScriptedProvider(*text, error))
        with pytest.raises(ServiceError):
            failed.run()
        repeated = World(ScriptedProvider(*text, retrying, again(2)[1], *WORD))
        row = repeated.run().generation
        assert failed.store.rows["id-1"].unreported == row.unreported == expected
        assert (row.output, row.attempts, row.billed) == ("ab", 2, Usage(1, 2, 3))


def test_a_reported_attempt_with_text_is_known() -> None:
    world = World(ScriptedProvider(Delta("a"), Billed(Usage(5, 1)), *again(2, may_be_billed=False), *WORD))
    assert world.run().generation.unreported == 0


@pytest.mark.parametrize(("scheme", "unreported"), [("https", 0), ("http", 1)])
def test_a_stopped_call_may_be_billed_only_if_it_was_sent(scheme: str, unreported: int) -> None:
    """A server that accepts and says nothing: with TLS, the handshake never ends, and nothing is sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/v1"
        provider = ApiProvider(ResponsesWire(), api_key=None, base_url=address, idle_timeout_s=60)
        world = World(provider)  # type: ignore[arg-type]
        subscription = world.begin(detached=True)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1)
            world.running.cancel("local", "id-1")
            until(lambda: world.slots.in_use == 0)
            until(lambda: world.store.rows["id-1"].unreported == unreported)
        subscription.close()
    assert world.store.rows["id-1"].status is Status.CANCELLED


def test_who_shares_a_call_pays_nothing_and_saves_it() -> None:
    begins = threading.Event()
    world = World(ScriptedProvider(begins, *WORD))
    leads, joins = world.begin(), world.begin()
    begins.set()
    paid, shared = heard(leads)[1].generation, heard(joins)[1].generation
    assert (paid.cost_usd, paid.saved_usd, paid.billed) == (3, 0, Usage(1, 2, 3))
    assert (shared.cost_usd, shared.saved_usd, shared.billed) == (0, 3, NO_TOKENS)
    assert shared.usage == paid.usage


def test_who_shares_a_call_that_fails_pays_and_saves_nothing() -> None:
    begins = threading.Event()
    world = World(ScriptedProvider(begins, errors.UpstreamError("broke")))
    leads, joins = world.begin(), world.begin()
    begins.set()
    for subscription in (leads, joins):
        with pytest.raises(errors.UpstreamError):
            heard(subscription)
    paid, shared = world.store.rows.values()
    assert (paid.cost_usd, paid.billed) == (None, Usage()), "nobody knows"
    assert (shared.cost_usd, shared.saved_usd, shared.billed) == (0, 0, NO_TOKENS)


def test_who_stopped_a_call_that_went_on_for_others_still_pays_it() -> None:
    begins = threading.Event()
    world = World(ScriptedProvider(begins, *WORD))
    leads, joins = world.begin(detached=True), world.begin()
    stopped = world.running.cancel("local", leads.generation.request_id)
    assert (stopped.status, stopped.cost_usd, stopped.billed) == (Status.CANCELLED, None, Usage())
    begins.set()
    assert heard(joins)[1].generation.cost_usd == 0
    until(lambda: ("amend billing", Status.CANCELLED) in world.store.writes)
    row = world.store.rows[leads.generation.request_id]
    assert (row.cost_usd, row.billed, row.price_version) == (3, Usage(1, 2, 3), "list 1")


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.UpstreamTruncated("cut"), "upstream-truncated"), (ZeroDivisionError(), "internal-error")],
)
def test_a_failure_is_recorded_with_what_came_and_never_cached(error: Exception, code: str) -> None:
    world = World(ScriptedProvider(Delta("par"), Delta("tial"), error))
    with pytest.raises(errors.ServiceError) as raised:
        world.run()
    assert raised.value.code == code
    assert world.reporter.bugs == ([] if isinstance(error, errors.ServiceError) else [error])
    row = world.store.rows["id-1"]
    assert (row.status, row.error, row.output, row.usage) == (Status.FAILED, code, "partial", Usage())
    assert row.finished_ms is not None
    assert world.cache.stats().entries == 0
    assert world.provider.closed == 1  # type: ignore[attr-defined]


def test_a_leaders_failure_is_everyones() -> None:
    goes_on = threading.Event()
    world = World(ScriptedProvider(goes_on, errors.UpstreamRateLimited("slower", retry_after_s=7)))
    subscriptions = [world.begin() for _ in range(3)]
    goes_on.set()
    for subscription in subscriptions:
        with pytest.raises(errors.UpstreamRateLimited) as raised:
            subscription.result(30)
        assert raised.value.retry_after_s == 7
    assert {row.status for row in world.store.rows.values()} == {Status.FAILED}
    assert world.cache.stats().entries == 0
