"""A caller of the cluster: one request on a connection of its own, and what came of it, also if it was cut."""

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

# Ends only a test that would hang.
WAIT_S = 60


@dataclass(frozen=True)
class Answer:
    """`status` 0: no answer, or one that was cut. `body`: the answer, the last event of a stream, or the problem."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    took_s: float = 0.0

    @property
    def is_good(self) -> bool:
        return self.status == 200 and self.body.get("status") == "completed"

    @property
    def error(self) -> str:
        return str(self.body.get("error", "")) if not self.is_good else ""

    @property
    def request_id(self) -> str:
        return str(self.body["request_id"])

    def __str__(self) -> str:
        return f"{self.status} {self.error} {self.headers.get('Retry-After')} after {self.took_s:.1f} s: {self.body}"


@dataclass(frozen=True)
class Client:
    """`headers`: more of them, with every request."""

    port: int
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, timeout_s: float = WAIT_S, **headers: str) -> Answer:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **self.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            with connection.getresponse() as response:
                got = dict(response.getheaders())
                if got.get("Content-Type", "").startswith("text/event-stream"):
                    event, text = _events(response)
                    return Answer(response.status if event else 0, event, got, text, time.monotonic() - began)
                data = response.read()
                found = json.loads(data) if "json" in got.get("Content-Type", "") else {"text": data.decode()}
                text = found.get("output", "") if isinstance(found, dict) else ""
                return Answer(response.status, found, got, text or "", time.monotonic() - began)
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {"error": repr(error)}, took_s=time.monotonic() - began)
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        answer = self.send("GET", f"/api/v1/{path}")
        assert answer.status == 200, answer
        return answer.body

    def generate(self, timeout_s: float = WAIT_S, *, stream: bool = False, key: str = "", **body: Any) -> Answer:
        """`key`: of idempotency."""
        asked = {"template_id": "basic_chat_v1", "input": "Hello", **body, **({"stream": True} if stream else {})}
        headers = {"Idempotency_Key": f'"{key}"'} if key else {}
        return self.send("POST", "/api/v1/generate", asked, timeout_s, **headers)


def _events(response: http.client.HTTPResponse) -> tuple[dict[str, Any], str]:
    """The body of the last event, and the text of all deltas. Nothing if the stream was cut before its end."""
    name, text = "", ""
    for line in response:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            data = json.loads(line[6:])
            if name == "delta":
                text += data["text"]
            elif name in ("done", "error"):
                return data, text
    return {}, text


def at_once(calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Each in a thread of its own; the answers in their order."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]
