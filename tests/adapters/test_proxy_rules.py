"""Which proxy leads to the provider: the rules of curl, httpx and the standard library."""

import base64
import traceback
import urllib.request
from typing import Any

import pytest

from llm_service.adapters.providers.proxies import Proxy, ProxyUrl, parse_proxy, proxy_variable

ALL = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


@pytest.mark.parametrize(
    ("address", "given", "variable"),
    [
        ("https://api.openai.com/v1", ALL, "HTTPS_PROXY"),
        ("http://10.0.0.1:8080/v1", ALL, "HTTP_PROXY"),
        ("https://api.openai.com/v1", ("HTTP_PROXY",), None),
        ("http://10.0.0.1:8080/v1", ("HTTPS_PROXY",), None),
        ("https://api.openai.com/v1", ("HTTP_PROXY", "ALL_PROXY"), "ALL_PROXY"),
        ("http://10.0.0.1:8080/v1", ("ALL_PROXY",), "ALL_PROXY"),
        ("http://127.0.0.1:11434/v1", ("HTTP_PROXY",), "HTTP_PROXY"),
        ("http://localhost:11434/v1", ("HTTP_PROXY",), "HTTP_PROXY"),
        ("http://[::1]:11434/v1", ("HTTP_PROXY",), "HTTP_PROXY"),
        ("https://api.openai.com/v1", (), None),
    ],
)
def test_the_variable_of_an_address(address: str, given: tuple[str, ...], variable: str | None) -> None:
    assert proxy_variable(address, given, "") == variable


NAMES = [
    ("api.openai.com", "api.openai.com", True),
    ("api.openai.com", "API.OpenAI.com", True),
    ("api.openai.com", "openai.com", True),
    ("api.openai.com", ".openai.com", True),
    ("openai.com", ".openai.com", True),
    ("api.notopenai.com", "openai.com", False),
    ("api.openai.com.evil.example", "openai.com", False),
    ("api.openai.com", "a.example, openai.com", True),
    ("api.openai.com", "a.example,,", False),
    ("api.openai.com", "api.openai.com:443", True),
    ("api.openai.com", "api.openai.com:8443", False),
    ("api.openai.com", "openai.com:443", True),
    ("api.openai.com", "*", True),
    ("api.openai.com", ".", False),
    ("127.0.0.1", "localhost", False),
    ("127.0.0.1", "127.0.0.1", True),
    ("10.1.2.3", "10.1.2.30", False),
    ("10.1.2.3", "10.1.2.3:443", True),
    ("localhost", "localhost,127.0.0.1,::1", True),
]
MORE = [
    ("api.openai.com", "a.example,*", True),
    ("api.openai.com", "*.openai.com", True),
    ("api.openai.com", "a.example openai.com", True),
    ("10.1.2.3", "10.0.0.0/8", True),
    ("11.1.2.3", "10.0.0.0/8", False),
    ("10.1.2.3", "10.0.0.0/99", False),
    ("api.openai.com", "0.0.0.0/0", False),
    ("[::1]", "::1", True),
    ("[::1]", "[::1]", True),
    ("[::1]", "0:0::1", True),
    ("[::1]", "[::1]:443", True),
    ("[::1]", "[::1]:8443", False),
    ("[fd00::7]", "fd00::/8", True),
    ("[fd00::7]", "::1", False),
]


@pytest.mark.parametrize(("host", "no_proxy", "exempt"), [*NAMES, *MORE])
def test_no_proxy(host: str, no_proxy: str, exempt: bool) -> None:
    assert (proxy_variable(f"https://{host}/v1", ALL, no_proxy) is None) is exempt


@pytest.mark.parametrize(("host", "no_proxy", "exempt"), NAMES)
def test_what_the_standard_library_knows_is_the_same(host: str, no_proxy: str, exempt: bool) -> None:
    library: Any = urllib.request
    assert bool(library.proxy_bypass_environment(f"{host}:443", {"no": no_proxy})) is exempt


def basic(login: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"Proxy-Authorization", b"Basic " + base64.b64encode(login))]


@pytest.mark.parametrize(
    ("url", "host", "port", "headers"),
    [
        ("http://proxy.example:3128", "proxy.example", 3128, []),
        ("HTTP://Proxy.Example:3128/", "proxy.example", 3128, []),
        ("proxy.example:3128", "proxy.example", 3128, []),
        ("ann:pass@proxy.example:3128", "proxy.example", 3128, basic(b"ann:pass")),
        ("http://proxy.example", "proxy.example", 80, []),
        ("http://[::1]:3128", "::1", 3128, []),
        ("http://ann@proxy:1", "proxy", 1, basic(b"ann:")),
        ("http://ann:p%40ss%2Fw:%C3%B6rd@proxy:1", "proxy", 1, basic("ann:p@ss/w:örd".encode())),
        ("http://corp%5Cann:%E9@proxy:1", "proxy", 1, basic(b"corp\\ann:\xe9")),
        ("http://ann:p@ss@proxy:1", "proxy", 1, basic(b"ann:p@ss")),
    ],
)
def test_the_url_of_a_proxy(url: str, host: str, port: int, headers: list[tuple[bytes, bytes]]) -> None:
    proxy = parse_proxy(ProxyUrl(url))
    assert (proxy.host, proxy.port, proxy.headers) == (host, port, headers)


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:canary@proxy.example:3128",
        "socks5://ann:canary@proxy.example:1080",
        "socks5h://proxy.example:1080",
        "http://ann:canary/1@proxy.example:3128",
        "http://ann:canary#1@proxy.example:3128",
        "http://ann:1#canary@proxy.example:3128",
        "http://ann:1?canary@proxy.example:3128",
        "http://ann:canary@proxy.example:port",
        "http://ann:canary@proxy.example:99999",
        "http://ann:canary@proxy.example:0",
        "http://ann:canary@",
        "http://ann:canary@[::1",
        "http://ann:canary@pro xy:1",
        "http://ann:canary\u00e9@proxy:1",
        "http://ann:can\nary@proxy:1",
        "http://proxy.example:3128/canary",
    ],
)
def test_another_url_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="must be the URL of an HTTP proxy") as raised:
        parse_proxy(ProxyUrl(url))
    assert "canary" not in "".join(traceback.format_exception(raised.value))


def test_a_password_is_shown_nowhere() -> None:
    url = ProxyUrl("http://ann:canary@proxy.example:3128")
    proxy = parse_proxy(url)
    assert "canary" not in f"{url!r} {url} {proxy!r} {proxy}"
    assert proxy.secrets() == ["canary", base64.b64encode(b"ann:canary").decode()]
    assert Proxy("proxy.example", 3128).secrets() == []
