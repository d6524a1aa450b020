"""What is secret turns up nowhere: words that stand for secrets go in everywhere, and all that comes out is searched.

A real server at DEBUG, with every failure of the provider, bad input of every kind, and an error of its own.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.command_line import flask
from tests.support.constants import KEY_CANARY
from tests.support.processes import Server, serving
from tests.support.upstream import FAULT_MODELS, Upstream

COOKIE, AUTHORIZATION, PROMPT = "canary-cookie-71", "canary-authorization-72", "canary-prompt-73"
DATABASE, SIGNING = "canary-database-74", "canary-signing-75-of-thirty-two-characters"
# Never in a log, an error's body or the arguments of a process. The upstream quotes the key in its errors' words.
EVERYWHERE = [KEY_CANARY, COOKIE, AUTHORIZATION, DATABASE, SIGNING, "secret words"]
# In an answer the prompt may stand, and what came of it.
LOGS = [*EVERYWHERE, PROMPT, PROMPT.upper(), urllib.parse.quote(PROMPT[:20]), "Answer to"]
JSON_TYPE = "application/json"


class Outside:
    """A caller that sends its secrets along with everything and keeps what it gets from errors."""

    def __init__(self, base_url: str, key: str) -> None:
        self._base_url = base_url
        self._key = key
        self.errors: list[tuple[str, str]] = []
        self.statuses: set[int] = set()

    def ask(self, path: str, body: bytes | None = None, content_type: str = JSON_TYPE, **more: str) -> str:
        headers = {"Cookie": f"session={COOKIE}", "Authorization": f"Bearer {self._key}", "Accept": "*/*",
                   "Content-Type": content_type, "Sec-Fetch-Site": "same-origin", "Referer": f"/?q={PROMPT}", **more}  # fmt: skip
        request = urllib.request.Request(self._base_url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                self.statuses.add(response.status)
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            text = str(error.headers) + error.read().decode()
            self.statuses.add(error.code)
            self.errors.append((path, text))
            return text

    def generate(self, **changes: object) -> str:
        body = {"template_id": "basic_chat_v1", "input": PROMPT, **changes}
        return self.ask("/api/v1/generate", json.dumps(body).encode())


@pytest.fixture(scope="module", name="place")
def _place(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[tuple[Server, str]]:
    """The server, and a key to it."""
    folder = tmp_path_factory.mktemp("canaries")
    (folder / DATABASE).mkdir()
    environ = {
        "OPENAI_API_KEY": KEY_CANARY,
        "OPENAI_BASE_URL": upstream.base_url,
        "OPENAI_MODEL": "normal",
        "APP_MODELS": ",".join(["normal", "tokens-5-50", *FAULT_MODELS]),
        "APP_LOG_LEVEL": "DEBUG",
        "APP_DEADLINE_S": "1.5",
        "APP_IDLE_TIMEOUT_S": "0.6",
        "APP_INPUT_MAX_CHARS": "5000",
        "DATABASE_URL": f"sqlite:///{folder}/{DATABASE}/service.db",
        "SECRET_KEY": SIGNING,
        "APP_AUTH": "required",
    }
    made = flask(folder, "keys", "create", "tester", "--scope", "admin", DATABASE_URL=environ["DATABASE_URL"])
    assert made.returncode == 0, made.stderr
    with serving(folder, **environ) as server:
        yield server, made.stdout.strip()


def test_nothing_leaks(place: tuple[Server, str]) -> None:
    server, key = place
    outside = Outside(server.base_url, key)
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(outside.generate, model=model, stream=stream)
            for model in FAULT_MODELS
            for stream in (False, True)
        ]
    assert [call.exception() for call in calls if call.exception()] == []
    _ask_badly(outside)
    _use_the_pages(outside)
    outside.ask("/login", urllib.parse.urlencode({"key": key}).encode(), "application/x-www-form-urlencoded")
    outside.ask("/login", f"key={AUTHORIZATION}".encode(), "application/x-www-form-urlencoded")
    outside.ask(f"/api/v1/status?key={key}", Authorization=f"Bearer {AUTHORIZATION}")
    outside.ask("/api/v1/status", Authorization=f"Bearer {key[:-1]}")
    assert {200, 400, 401, 404, 406, 413, 415, 422, 502, 503, 504} <= outside.statuses
    log = server.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert len([line for line in lines if line.get("event") == "request"]) > 50
    assert _hits([*LOGS, key, key[:-1], key.split("_")[2]], log) == []
    for path, text in outside.errors:
        assert (path, _hits([*EVERYWHERE, key[:-1]], text)) == (path, [])
        assert "Traceback" not in text
    assert _hits([KEY_CANARY, COOKIE, AUTHORIZATION, PROMPT, SIGNING, key], _arguments(server)) == []


def test_an_error_of_its_own_says_nothing(place: tuple[Server, str]) -> None:
    """The database is gone from under it: its path and the SQL are nobody's business, the log has no text of a caller."""
    server, key = place
    folder = server.log.parent / DATABASE
    outside = Outside(server.base_url, key)
    for file in folder.iterdir():
        file.write_bytes(b"no database" * 1000)
    for _ in range(2):
        outside.generate(input=f"{PROMPT} again")
        outside.ask(f"/api/v1/history?q={PROMPT}")
        outside.ask("/history")
        outside.ask("/")
        outside.ask("/usage")
    assert any(status >= 500 for status in outside.statuses)
    for path, text in outside.errors:
        assert (path, _hits([*EVERYWHERE, str(folder), "SELECT", "sqlite", "Traceback"], text)) == (path, [])
    log = server.log.read_text()
    assert _hits([KEY_CANARY, COOKIE, AUTHORIZATION, PROMPT, SIGNING, key], log) == []


def _ask_badly(outside: Outside) -> None:
    outside.generate(admin=PROMPT)
    outside.generate(input=PROMPT * 400)
    outside.generate(input=f"{PROMPT}\x00")
    outside.generate(template_id=PROMPT)
    outside.generate(model=KEY_CANARY.upper())
    outside.generate(parameters={"tone": PROMPT, PROMPT: PROMPT})
    for body in (
        b"",
        b"{" + PROMPT.encode(),
        f'{{"input": "{PROMPT}", "input": 1}}'.encode(),
        b"[" * 100,
        b" " * 2_000_000,
    ):
        outside.ask("/api/v1/generate", body)
    outside.ask("/api/v1/generate", PROMPT.encode(), "text/plain")
    outside.ask("/api/v1/generate", b"{}", Accept="application/xml")
    outside.ask("/api/v1/generate", b"{}", content_type=JSON_TYPE, **{"Idempotency-Key": f"{PROMPT} {AUTHORIZATION}"})
    outside.ask(f"/api/v1/history?q={PROMPT}&unknown={PROMPT}")
    outside.ask(f"/api/v1/history?status={PROMPT}")
    outside.ask(f"/api/v1/history/{PROMPT}")
    outside.ask(f"/nowhere/{PROMPT}")
    outside.ask(f"/?template={PROMPT}")
    outside.ask(
        "/api/v1/health", None, JSON_TYPE, **{"X-Request-ID": f"{AUTHORIZATION} {PROMPT}", "User-Agent": PROMPT}
    )


def _use_the_pages(outside: Outside) -> None:
    form = urllib.parse.urlencode({"template_id": "basic_chat_v1", "input": PROMPT, "fresh": "1"}).encode()
    for path in ("/", "/generate/answer", "/generate/preview", "/generate/payload", "/generate/form"):
        outside.ask(path, form, "application/x-www-form-urlencoded")
    bad = form.replace(b"basic_chat_v1", PROMPT.encode())
    outside.ask("/generate/answer", bad, "application/x-www-form-urlencoded")
    outside.ask(f"/history?q={PROMPT}")
    outside.ask("/api/v1/history/export?format=csv")


def _hits(words: list[str], text: str) -> list[str]:
    return [word for word in words if word in text]


def _arguments(server: Server) -> str:
    """Of the server's processes: everyone on the machine may read them."""
    pids = [server.process.pid, *server.workers()]
    return "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)
