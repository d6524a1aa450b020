"""Names that are not resolved, and addresses that do not answer: both can be abandoned."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import httpcore2
import httpx2
import pytest

from llm_service.adapters.providers.http1 import CONNECT_TIMEOUT_S
from llm_service.adapters.providers.names import Address, Resolver, connect, system_addresses
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.providers.proxies import Proxy
from llm_service.adapters.providers.retry import ResilientProvider
from llm_service.adapters.providers.transport import DeadlineTransport
from llm_service.adapters.providers.tunnel import ProxyTimeout
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core import errors
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import ProviderCall
from tests.support.builders import messages_of
from tests.support.clocks import until
from tests.support.constants import KEY_CANARY, ROOT
from tests.support.name_servers import SilentNameServer
from tests.support.upstream import Upstream
from tests.support.world import World

PROVIDER = "https://provider.example/v1/responses"
PROXIES = [None, Proxy("proxy.example", 3128)]


@pytest.fixture(name="silent")
def _silent() -> Iterator[SilentNameServer]:
    with SilentNameServer() as server:
        yield server


@contextmanager
def full_backlog() -> Iterator[int]:
    """The port of a server that accepts nobody: TCP is never connected."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def send(transport: DeadlineTransport, context: CallContext, seconds: float = 60) -> None:
    with closing(transport):
        transport.send(b"{}", seconds, context).close()


def running() -> CallContext:
    return CallContext(time.monotonic() + 60, SystemClock())


@pytest.mark.parametrize("proxy", PROXIES, ids=["the provider's name", "the proxy's name"])
def test_a_name_is_waited_for_until_the_deadline(silent: SilentNameServer, proxy: Proxy | None) -> None:
    """While the resolver still waits: what answers it comes only at the end of the test."""
    transport = DeadlineTransport(httpx2.Request("POST", PROVIDER), proxy, silent.resolve)
    with pytest.raises(httpcore2.ConnectTimeout) as raised:
        send(transport, running(), seconds=0.3)
    assert isinstance(raised.value, ProxyTimeout) is (proxy is not None)
    assert silent.questions == 1


@pytest.mark.parametrize("proxy", PROXIES, ids=["the provider's name", "the proxy's name"])
def test_a_stop_ends_the_wait_for_a_name(silent: SilentNameServer, proxy: Proxy | None) -> None:
    context = running()
    transport = DeadlineTransport(httpx2.Request("POST", PROVIDER), proxy, silent.resolve)

    def stop() -> None:
        silent.asked.wait(60)
        context.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(httpcore2.ConnectError) as raised:
        send(transport, context)
    stopping.join()
    assert (str(raised.value), raised.value.__cause__) == ("stopped", None)


def test_a_stop_ends_the_wait_for_tcp() -> None:
    """Long before TCP gives up."""
    context = running()
    with full_backlog() as port:
        transport = DeadlineTransport(httpx2.Request("POST", f"http://127.0.0.1:{port}/v1/responses"))
        threading.Timer(0.3, context.stop).start()
        began = time.monotonic()
        with pytest.raises(httpcore2.ConnectError, match="stopped"):
            send(transport, context)
        assert time.monotonic() - began < CONNECT_TIMEOUT_S - 1


def test_calls_share_a_lookup(silent: SilentNameServer) -> None:
    """A name server that does not answer holds up one thread."""
    transport, raised = DeadlineTransport(httpx2.Request("POST", PROVIDER), None, silent.resolve), list[Exception]()

    def call() -> None:
        with pytest.raises(httpcore2.ConnectTimeout) as timeout:
            transport.send(b"{}", 0.5, running())
        raised.append(timeout.value)

    calls = [threading.Thread(target=call) for _ in range(20)]
    for each in calls:
        each.start()
    for each in calls:
        each.join()
    assert (len(raised), silent.questions) == (20, 1)


def test_an_address_needs_no_resolver(upstream: Upstream, silent: SilentNameServer) -> None:
    transport = DeadlineTransport(httpx2.Request("POST", f"{upstream.base_url}/responses"), None, silent.resolve)
    with closing(transport), closing(transport.send(b'{"model": "normal", "input": "Hello"}', 60, running())) as answer:
        assert answer.status == 200
    assert "127.0.0.1" in upstream.base_url
    assert silent.questions == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_the_one_that_the_system_finds(host: str) -> None:
    found = Resolver().addresses(host, 80, 60, threading.Event())
    assert [entry[:3] + entry[4:] for entry in found] == [entry[:3] + entry[4:] for entry in system_addresses(host, 80)]


def test_what_the_resolver_raises_is_raised_to_each() -> None:
    may_go_on = threading.Event()

    def resolve(host: str, port: int) -> Sequence[Address]:
        may_go_on.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    resolver, raised = Resolver(resolve), list[Exception]()

    def ask() -> None:
        with pytest.raises(socket.gaierror, match="not known") as error:
            resolver.addresses("nowhere.example", 80, 60, threading.Event())
        raised.append(error.value)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for each in asking:
        each.start()
    may_go_on.set()
    for each in asking:
        each.join()
    assert len({id(error) for error in raised}) == 3, "each has its own traceback"


def test_the_next_address_is_tried() -> None:
    used: list[socket.socket | None] = []
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = gone.getsockname()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        connect([(*kind, closed), (*kind, listening.getsockname())], lambda: 60.0, used.append)
        assert [sock is None for sock in used] == [False, True, False]
        connected = used[-1]
        assert connected
        assert connected.getpeername() == listening.getsockname()
        connected.close()
    for addresses, words in (([], "no address"), ([(*kind, closed)], "refused")):
        with pytest.raises(OSError, match=words):
            connect(addresses, lambda: 60.0, used.append)


def test_the_provider_says_what_happened_and_that_nothing_is_billed(silent: SilentNameServer) -> None:
    made = ApiProvider(
        ResponsesWire(),
        api_key=KEY_CANARY,
        base_url="https://provider.example/v1",
        idle_timeout_s=60,
        resolve=silent.resolve,
    )
    provider = ResilientProvider(made, slots=1)
    context = CallContext(time.monotonic() + 0.5, SystemClock())
    with closing(provider), pytest.raises(errors.UpstreamTimeout) as raised:
        list(provider.stream(ProviderCall("normal", messages_of("", "Hello"), {}), context))
    assert raised.value.may_be_billed is False


@pytest.mark.parametrize("ends", ["overdue", "cancelled"])
def test_a_generation_that_waits_for_a_name_is_ended_and_its_slot_is_free(silent: SilentNameServer, ends: str) -> None:
    provider: Any = ApiProvider(
        ResponsesWire(),
        api_key=KEY_CANARY,
        base_url="https://provider.example/v1",
        idle_timeout_s=60,
        resolve=silent.resolve,
    )
    world = World(provider, deadline_s=60)
    with closing(provider), closing(world.begin()) as subscription:
        assert silent.asked.wait(60)
        if ends == "overdue":
            world.clock.advance(61.1)
            world.registry.tick()
        else:
            world.registry.cancel(world.registry.of_owner("local")[0])
        with pytest.raises(errors.DeadlineExceeded if ends == "overdue" else errors.Cancelled):
            subscription.next(30)
        until(lambda: world.slots.in_use == 0, within_s=CONNECT_TIMEOUT_S - 1)
        assert silent.questions == 1


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
import httpcore2, httpx2
from llm_service.adapters.providers.transport import DeadlineTransport
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.generation.call_context import CallContext
from tests.support.name_servers import SilentNameServer

where, ends = sys.argv[1:3]
with SilentNameServer() as silent:
    address = "https://provider.example/" if where == "name" else f"http://127.0.0.1:{sys.argv[3]}/"
    transport = DeadlineTransport(httpx2.Request("POST", address), None, silent.resolve)
    context = CallContext(time.monotonic() + 60, SystemClock())

    def call():
        try:
            transport.send(b"{}", 0.3 if ends == "deadline" else 60, context)
        except httpcore2.ConnectTimeout:
            print("deadline")
        except httpcore2.ConnectError as error:
            print(error)

    calling = gevent.spawn(call)
    gevent.sleep(0.2)
    if ends == "stopped":
        context.stop()
    calling.join(4)
    if not calling.ready():
        print("still waits")
"""


@pytest.mark.parametrize("ends", ["deadline", "stopped"])
@pytest.mark.parametrize("where", ["name", "tcp"])
def test_greenlets_abandon_it_too(where: str, ends: str) -> None:
    with full_backlog() as port:
        command = [sys.executable, "-c", GREENLETS, where, ends, str(port)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stdout.splitlines() == [ends], run.stdout + run.stderr


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost."])
@pytest.mark.parametrize(("family", "loopback"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_localhost_is_whichever_loopback_listens(
    silent: SilentNameServer, name: str, family: socket.AddressFamily, loopback: str
) -> None:
    used: list[socket.socket | None] = []
    with socket.create_server((loopback, 0), family=family) as listening:
        port = listening.getsockname()[1]
        connect(Resolver(silent.resolve).addresses(name, port, 60, threading.Event()), lambda: 60.0, used.append)
        connected = used[-1]
        assert connected
        assert connected.getpeername()[:2] == (loopback, port)
        connected.close()
    assert silent.questions == 0


def test_a_provider_at_localhost_is_found(upstream: Upstream, silent: SilentNameServer) -> None:
    address = upstream.base_url.replace("127.0.0.1", "localhost")
    transport = DeadlineTransport(httpx2.Request("POST", f"{address}/responses"), None, silent.resolve)
    with closing(transport), closing(transport.send(b'{"model": "normal", "input": "Hello"}', 60, running())) as answer:
        assert answer.status == 200


def test_an_address_of_a_kind_that_the_system_does_not_have_is_passed_over() -> None:
    used: list[socket.socket | None] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = (socket.AF_INET, socket.SOCK_STREAM, 0, "", listening.getsockname())
        connect([(socket.AF_INET, socket.SOCK_STREAM, 254, "", here[4]), here], lambda: 60.0, used.append)
    connected = used[-1]
    assert connected
    connected.close()
