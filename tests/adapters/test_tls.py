"""TLS to the provider, with a throwaway authority: verified always, given up never."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.constants import ROOT
from tests.support.upstream import Upstream

# In a process of its own: which authorities are trusted is read once, from SSL_CERT_FILE.
PROGRAM = """
import sys, time
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.generation.call_context import CallContext
from llm_service.core.errors import ServiceError
from llm_service.core.generation.model import ProviderCall
from tests.support.builders import messages_of

provider = ApiProvider(ResponsesWire(), api_key="x", base_url=sys.argv[1], idle_timeout_s=5)
for _ in range(2):
    try:
        *_, done = provider.stream(ProviderCall(sys.argv[2], messages_of("", "Hello"), {}), CallContext(time.monotonic() + 5, SystemClock()))
        print(done.text)
    except ServiceError as error:
        print(error.code, provider.health_error() or "")
"""


TLS_FAILS = "upstream-tls The model provider's TLS certificate or handshake is not valid."


@pytest.fixture(name="authority", scope="module")
def _authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(name="trusted", scope="module")
def _trusted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(name="served")
def _served(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[Upstream]:
    """An upstream with a certificate for the name that the test asks for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(request.param).configure_cert(context)
    with Upstream(tls=context) as upstream:
        yield upstream


def answers(upstream: Upstream, model: str = "normal", **environ: str) -> list[str]:
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environ}
    command = [sys.executable, "-c", PROGRAM, upstream.base_url, model]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("served", ["127.0.0.1"], indirect=True)
def test_a_trusted_certificate(served: Upstream, trusted: Path) -> None:
    assert answers(served, SSL_CERT_FILE=str(trusted)) == ["Answer to: Hello"] * 2
    assert served.connections == 1, "the second call used the first one's connection"


@pytest.mark.parametrize("served", ["127.0.0.1"], indirect=True)
def test_an_unknown_authority(served: Upstream) -> None:
    assert answers(served) == [TLS_FAILS] * 2
    assert served.calls == []


@pytest.mark.parametrize("served", ["other.example"], indirect=True)
def test_a_certificate_for_another_name(served: Upstream, trusted: Path) -> None:
    assert answers(served, SSL_CERT_FILE=str(trusted)) == [TLS_FAILS] * 2
    assert served.calls == []


@pytest.mark.parametrize("served", ["127.0.0.1"], indirect=True)
def test_a_fault_of_tls_in_the_middle_of_an_answer_is_a_lost_connection(served: Upstream, trusted: Path) -> None:
    """It may be billed, may pass, and is nothing that an operator has to mend."""
    found = answers(served, "fault-garbage-after-3", SSL_CERT_FILE=str(trusted))
    assert found == ["upstream-truncated "] * 2
