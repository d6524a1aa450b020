"""The server where the provider can only be reached through an HTTP proxy."""

import json
import ssl
import threading
import time
from pathlib import Path
from socket import socket

import trustme

from llm_service.adapters.providers.http1 import CONNECT_TIMEOUT_S
from tests.support.calls import ask, get, provider, stream
from tests.support.clocks import until
from tests.support.constants import KEY_CANARY
from tests.support.http_proxy import HttpProxy
from tests.support.processes import serving
from tests.support.upstream import Upstream

PASSWORD = "canary-of-the-proxy"
LOGIN = f"ann:{PASSWORD}"


def test_a_provider_behind_a_tunnel(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("provider.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with Upstream(tls=context) as upstream, HttpProxy(LOGIN, {"provider.example:443": upstream.port}) as proxy:
        environ = provider(
            upstream,
            APP_LOG_LEVEL="DEBUG",
            OPENAI_BASE_URL="https://provider.example/v1",
            HTTPS_PROXY=proxy.url(LOGIN),
            SSL_CERT_FILE=str(tmp_path / "authority.pem"),
        )
        with serving(tmp_path, **environ) as server:
            for text in ("one", "two"):
                status, answer = ask(server, input=text)
                assert (status, answer.get("output")) == (200, f"Answer to: {text}")
            assert stream(server, "normal")[-1][0] == "done"
    assert [head.split("\r\n")[0] for head in proxy.heads] == ["CONNECT provider.example:443 HTTP/1.1"]
    assert [sent["headers"]["authorization"] for sent in upstream.calls] == [f"Bearer {KEY_CANARY}"] * 3
    log = server.log.read_text()
    assert {"host": "127.0.0.1", "port": proxy.port}.items() <= next(
        line for line in map(json.loads, log.splitlines()) if line["event"] == "proxy"
    ).items()
    assert PASSWORD not in log


def test_a_proxy_that_refuses_is_named(tmp_path: Path) -> None:
    proxy = HttpProxy(login="ann:another")
    with proxy, serving(tmp_path, OPENAI_API_KEY="x", https_proxy=proxy.url(LOGIN)) as server:
        status, problem = ask(server)
        assert get(server, "ready")["checks"]["provider"] == problem["detail"]
    assert (status, problem["error"]) == (502, "upstream-unreachable")
    assert problem["detail"] == "The proxy refused the connection to the model provider (status 407)."
    log = server.log.read_text()
    assert problem["detail"] in log
    assert PASSWORD not in log


def test_a_cancelled_generation_does_not_wait_for_a_proxy(tmp_path: Path) -> None:
    """Greenlets are woken as threads are."""
    asked = threading.Event()

    def says_nothing(client: socket) -> None:
        asked.set()
        client.recv(1)

    proxy = HttpProxy(answer=says_nothing)
    with proxy, serving(tmp_path, OPENAI_API_KEY="x", HTTPS_PROXY=proxy.url()) as server:
        asking = threading.Thread(target=ask, args=(server,))
        asking.start()
        assert asked.wait(60)
        began = time.monotonic()
        assert get(server, "status")["upstream"]["in_flight"] == 1
        running = get(server, "history")["items"][0]["request_id"]
        get(server, f"history/{running}/cancel", b"")
        until(lambda: get(server, "status")["upstream"]["in_flight"] == 0)
        assert time.monotonic() - began < CONNECT_TIMEOUT_S - 1
        asking.join()


def test_no_proxy(tmp_path: Path, upstream: Upstream) -> None:
    with (
        HttpProxy() as proxy,
        serving(tmp_path, **provider(upstream, HTTP_PROXY=proxy.url(), NO_PROXY="10.0.0.0/8,127.0.0.1")) as server,
    ):
        assert ask(server)[0] == 200
    assert proxy.heads == []


def test_a_provider_without_tls(tmp_path: Path, upstream: Upstream) -> None:
    with HttpProxy(LOGIN) as proxy, serving(tmp_path, **provider(upstream, HTTP_PROXY=proxy.url(LOGIN))) as server:
        assert ask(server)[0] == 200
    assert proxy.heads[0].startswith(f"POST {upstream.base_url}/responses HTTP/1.1\r\n")
    assert "proxy-authorization" not in upstream.calls[-1]["headers"]
