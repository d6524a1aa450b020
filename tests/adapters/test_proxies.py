"""The way to the provider through an HTTP proxy, over real sockets.

Longer than other modules: all of them use the same proxy, provider and certificates.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from socket import socket
from typing import Any

import httpcore2
import httpx2
import pytest
import trustme

from llm_service.adapters.providers.http1 import CONNECT_TIMEOUT_S
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.providers.proxies import Proxy, ProxyUrl, parse_proxy
from llm_service.adapters.providers.transport import DeadlineTransport
from llm_service.adapters.providers.tunnel import MAX_ANSWER_BYTES, ProxyFailed, ProxyTimeout
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core import errors
from llm_service.core.errors import ServiceError
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Done, ProviderCall
from tests.support.builders import messages_of
from tests.support.clocks import until
from tests.support.constants import KEY_CANARY
from tests.support.http_proxy import ESTABLISHED, FORBIDDEN, LOGIN_NEEDED, HttpProxy
from tests.support.upstream import Upstream

# As it is, and as it is written in a URL.
PROVIDER = "https://provider.example/v1"
LOGIN, WRITTEN = "ann:p@ss/w:örd", "ann:p%40ss%2Fw:%C3%B6rd"
BODY = {"model": "normal", "input": "Hello"}


class Trusting(DeadlineTransport):
    """Trusts the test's own authority, if one is given."""

    def __init__(
        self, address: str, proxy: Proxy | None, trusted: ssl.SSLContext | None = None, **headers: str
    ) -> None:
        super().__init__(httpx2.Request("POST", f"{address}/responses", headers=headers), proxy)
        self._ssl_context = trusted


@pytest.fixture(name="authority", scope="module")
def _authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(name="trusted", scope="module")
def _trusted(authority: trustme.CA) -> ssl.SSLContext:
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    return trusted


@pytest.fixture(name="origin", scope="module")
def _origin(authority: trustme.CA) -> Iterator[Upstream]:
    """A provider that only the proxy knows where to find: https://provider.example."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("provider.example").configure_cert(context)
    with Upstream(tls=context) as origin:
        yield origin


def at(proxy: HttpProxy, login: str = "") -> Proxy:
    return parse_proxy(ProxyUrl(proxy.url(login)))


def post(transport: DeadlineTransport, within_s: float = 60, stopped_by: CallContext | None = None) -> dict[str, Any]:
    context = stopped_by or CallContext(time.monotonic() + within_s, SystemClock())
    with closing(transport.send(json.dumps(BODY).encode(), within_s, context)) as response:
        answer: dict[str, Any] = json.loads(b"".join(response))
        return answer


@contextmanager
def through(
    proxy: HttpProxy, trusted: ssl.SSLContext, login: str = "", address: str = PROVIDER, **headers: str
) -> Iterator[DeadlineTransport]:
    """A transport through a proxy that runs meanwhile."""
    with proxy, closing(Trusting(address, at(proxy, login), trusted, **headers)) as transport:
        yield transport


def answers(*pieces: bytes, pause_s: float = 0.0) -> Callable[[socket], None]:
    def answer(client: socket) -> None:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(pause_s)

    return answer


def says_nothing(client: socket) -> None:
    client.recv(1)


def test_a_tunnel_to_the_provider(origin: Upstream, trusted: ssl.SSLContext) -> None:
    places = {"provider.example:443": origin.port}
    proxy = HttpProxy(login=LOGIN, places=places)
    with through(proxy, trusted, WRITTEN, Authorization=f"Bearer {KEY_CANARY}") as transport:
        answer = post(transport)
    assert answer["status"] == "completed"
    (head,) = proxy.heads
    assert head.startswith("CONNECT provider.example:443 HTTP/1.1\r\nHost: provider.example:443\r\n")
    assert KEY_CANARY not in head
    sent = origin.calls[-1]
    assert (sent["method"], sent["path"], sent["headers"]["host"]) == ("POST", "/v1/responses", "provider.example")
    assert "proxy-authorization" not in sent["headers"]


def test_a_tunnel_is_used_again(origin: Upstream, trusted: ssl.SSLContext) -> None:
    proxy = HttpProxy(places={"provider.example:8443": origin.port})
    with through(proxy, trusted, address="https://provider.example:8443/v1") as transport:
        for _ in range(3):
            assert post(transport)["status"] == "completed"
    assert [head.split(" ")[1] for head in proxy.heads] == ["provider.example:8443"]


@pytest.mark.parametrize("known", [True, False], ids=["another name", "an unknown authority"])
def test_a_proxy_cannot_pass_another_server_off_as_the_provider(
    origin: Upstream, trusted: ssl.SSLContext, known: bool
) -> None:
    host = "other.example" if known else "provider.example"
    context, before = trusted if known else ssl.create_default_context(), len(origin.calls)
    proxy = HttpProxy(places={f"{host}:443": origin.port})
    with (
        through(proxy, context, address=f"https://{host}/v1") as transport,
        pytest.raises(httpcore2.ConnectError) as raised,
    ):
        post(transport)
    assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
    assert len(origin.calls) == before


def test_an_address_of_version_6_is_asked_for_in_brackets(trusted: ssl.SSLContext) -> None:
    proxy = HttpProxy(answer=answers(FORBIDDEN))
    with through(proxy, trusted, address="https://[::1]:8443/v1") as transport, pytest.raises(ProxyFailed):
        post(transport)
    assert proxy.heads[0].startswith("CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n")


def test_without_tls_the_proxy_gets_the_whole_url() -> None:
    with Upstream() as origin, HttpProxy(login=LOGIN, places={"provider.example": origin.port}) as proxy:
        with closing(Trusting("http://provider.example/v1", at(proxy, WRITTEN))) as transport:
            for _ in range(2):
                assert post(transport)["status"] == "completed"
        assert origin.connections == 1
    first = "POST http://provider.example/v1/responses HTTP/1.1\r\nHost: provider.example\r\n"
    assert [head.startswith(first) for head in proxy.heads] == [True, True]
    assert [sent["path"] for sent in origin.calls] == ["/v1/responses"] * 2
    assert "proxy-authorization" not in origin.calls[0]["headers"]


def test_without_a_proxy_the_provider_gets_the_path() -> None:
    with Upstream() as origin, closing(Trusting(origin.base_url, None)) as transport:
        assert post(transport)["status"] == "completed"
        assert origin.calls[0]["path"] == "/v1/responses"


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([LOGIN_NEEDED], "refused the connection to the model provider (status 407)"),
        ([FORBIDDEN], "(status 403)"),
        ([b"HTTP/1.0 502 Bad Gateway\r\n\r\n"], "(status 502)"),
        ([b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"], "(status 302)"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], "not valid HTTP"),
        ([b"HTTP/1.1 2000 OK\r\n\r\n"], "not valid HTTP"),
        ([b""], "closed the connection without an answer"),
        ([b"HTTP/1.1 200 Connection est"], "closed the connection without an answer"),
        ([b"HTTP/1.1 200 OK\r\nX: ", b"x" * 2 * MAX_ANSWER_BYTES], "too large"),
        ([ESTABLISHED + b"220 smtp.example\r\n"], "sent more than an answer"),
    ],
)
def test_what_is_no_tunnel_is_the_proxys_error(pieces: list[bytes], words: str, trusted: ssl.SSLContext) -> None:
    proxy = HttpProxy(answer=answers(*pieces))
    with through(proxy, trusted, WRITTEN) as transport, pytest.raises(ProxyFailed) as raised:
        post(transport)
    assert isinstance(raised.value, httpcore2.ProxyError)
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "pieces",
    [
        [bytes([byte]) for byte in ESTABLISHED],
        [b"HTTP/1.0 200\n\n"],
        [b"HTTP/1.1 201 X\r\nContent-Length: 5\r\nProxy-Agent: x\r\n", b"\r\n"],
    ],
)
def test_what_real_proxies_answer_is_a_tunnel(pieces: list[bytes], trusted: ssl.SSLContext) -> None:
    """The proxy of this test has no origin behind: that the client speaks TLS shows that it took the answer."""
    greeting: list[bytes] = []

    def answer(client: socket) -> None:
        answers(*pieces, pause_s=0.001)(client)
        greeting.append(client.recv(1))

    with through(HttpProxy(answer=answer), trusted) as transport, pytest.raises(httpcore2.ConnectError):
        post(transport)
    assert greeting == [b"\x16"]


@pytest.mark.parametrize("pieces", [[], [b"x"] * 1000], ids=["silence", "a byte each 10 ms"])
def test_a_tunnel_is_waited_for_until_the_deadline(pieces: list[bytes], trusted: ssl.SSLContext) -> None:
    def answer(client: socket) -> None:
        answers(*pieces, pause_s=0.01)(client)
        says_nothing(client)

    began = time.monotonic()
    with through(HttpProxy(answer=answer), trusted) as transport:
        with pytest.raises(httpcore2.ConnectTimeout) as raised:
            post(transport, within_s=0.3)
        assert isinstance(raised.value, ProxyTimeout)
        assert 0.3 <= time.monotonic() - began < CONNECT_TIMEOUT_S - 1


@pytest.mark.slow
def test_a_tunnel_is_waited_for_no_longer_than_any_connection(trusted: ssl.SSLContext) -> None:
    began = time.monotonic()
    with through(HttpProxy(answer=says_nothing), trusted) as transport, pytest.raises(httpcore2.ConnectTimeout):
        post(transport)
    assert CONNECT_TIMEOUT_S <= time.monotonic() - began < 4 * CONNECT_TIMEOUT_S


@pytest.mark.parametrize("established", [False, True], ids=["CONNECT", "the TLS handshake"])
def test_a_stop_ends_the_wait(established: bool, trusted: ssl.SSLContext) -> None:
    """And says nothing bad of the proxy, nor of the provider's TLS."""
    context, waits = CallContext(time.monotonic() + 60, SystemClock()), threading.Event()

    def answer(client: socket) -> None:
        if established:
            client.sendall(ESTABLISHED)
            client.recv(1)
        waits.set()
        while client.recv(65536):
            pass

    def stop() -> None:
        waits.wait(60)
        time.sleep(0.05)
        context.stop()

    stopping, began = threading.Thread(target=stop), time.monotonic()
    with through(HttpProxy(answer=answer), trusted) as transport:
        stopping.start()
        with pytest.raises(httpcore2.ConnectError) as raised:
            post(transport, stopped_by=context)
        assert time.monotonic() - began < CONNECT_TIMEOUT_S - 1
    stopping.join()
    assert (str(raised.value), raised.value.__cause__, raised.value.__context__) == ("stopped", None, None)


# -- what callers and operators are told


def drain(provider: ApiProvider, within_s: float = 60) -> Done:
    provider.warm()
    context = CallContext(time.monotonic() + within_s, SystemClock())
    *_, done = provider.stream(ProviderCall("normal", messages_of("", "Hello"), {}), context)
    assert isinstance(done, Done)
    return done


def failure(address: str, proxy: Proxy, within_s: float = 60) -> tuple[ServiceError, str | None]:
    """What a call ends with, and what is then said of the provider's health."""
    made = ApiProvider(ResponsesWire(), api_key=KEY_CANARY, base_url=address, idle_timeout_s=60, proxy=proxy)
    with closing(made), pytest.raises(ServiceError) as raised:
        drain(made, within_s)
    return raised.value, made.health_error()


@pytest.mark.parametrize("address", ["https://provider.example/v1", "http://provider.example/v1"])
def test_a_proxy_that_wants_another_login_is_a_lasting_fault(address: str) -> None:
    with HttpProxy(login=LOGIN) as proxy:
        error, health = failure(address, at(proxy, "ann:wrong-canary"))
    assert error.detail == "The proxy refused the connection to the model provider (status 407)."
    assert (error.code, error.max_attempts, error.retryable) == ("upstream-unreachable", 1, False)
    assert (error.may_be_billed, health) == (False, error.detail)


@pytest.mark.parametrize(
    ("answer", "within_s", "kind", "words"),
    [
        (answers(FORBIDDEN), 60, errors.UpstreamProxy, "The proxy refused the connection to the model provider (status 403)."),
        (answers(b"HTTP/1.1 503 X\r\n\r\n"), 60, errors.UpstreamUnreachable, "(status 503)"),
        (answers(b""), 60, errors.UpstreamUnreachable, "The proxy"),
        (says_nothing, 0.5, errors.UpstreamTimeout, "The proxy to the model provider did not answer in time."),
    ],
)  # fmt: skip
def test_a_tunnel_that_was_not_opened_is_on_no_bill(
    answer: Callable[[socket], None], within_s: float, kind: type[ServiceError], words: str
) -> None:
    with HttpProxy(answer=answer) as proxy:
        error, _ = failure("https://provider.example/v1", at(proxy, WRITTEN), within_s)
    assert type(error) is kind
    assert words in error.detail
    assert error.may_be_billed is False
    shown = "".join(
        f"{each!r}{each}" for each in (error, error.__cause__, error.__cause__ and error.__cause__.__cause__)
    )
    assert [text for text in ("ann", "p%40ss", "p@ss") if text in shown] == []


@pytest.mark.parametrize(("host", "words"), [("127.0.0.1", "cannot be reached"), ("nowhere.invalid", "resolved (dns)")])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(host: str, words: str, scheme: str) -> None:
    error, _ = failure(f"{scheme}://provider.example/v1", Proxy(host, 9))
    assert type(error) is errors.UpstreamUnreachable
    assert "proxy" in error.detail
    assert words in error.detail
    assert error.may_be_billed is False


def test_after_the_deadline_nothing_is_sent(upstream: Upstream) -> None:
    before = upstream.connections
    with closing(Trusting(upstream.base_url, None)) as transport, pytest.raises(httpcore2.ConnectTimeout):
        post(transport, within_s=0)
    assert upstream.connections == before


def test_the_sdk_through_a_proxy() -> None:
    with Upstream() as origin, HttpProxy(places={"provider.example": origin.port}) as proxy:
        provider = ApiProvider(
            ResponsesWire(),
            api_key=KEY_CANARY,
            base_url="http://provider.example/v1",
            idle_timeout_s=60,
            proxy=at(proxy),
        )
        with closing(provider):
            assert drain(provider).text == "Answer to: Hello"
        until(lambda: origin.open_connections == 0)
    assert len(proxy.heads) == 1
