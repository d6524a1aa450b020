"""Takes the pictures of the README: `make screenshots`.

It starts a server with an empty database in front of a provider that has a few answers ready, fills in a month of usage,
and takes each page in both colour schemes. Any machine with Chromium makes them; fonts differ.
"""

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.processes import needed_program, serving

FOLDER = Path(__file__).parent
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
QUESTION = "Why does a retry need an idempotent request? Show it in Python."
MODEL, OTHER_MODEL = "gpt-4o-mini", "gpt-4.1-mini"
PRICES = {MODEL: {"input": "0.15", "output": "0.6"}, OTHER_MODEL: {"input": "0.4", "output": "1.6"}}
# By words of the prompt.
ANSWERS = {
    "idempotent": """A request is **idempotent** if sending it twice has the same effect as sending it once. When a reply is lost, the client cannot know whether the server did the work, so it may only ask again if a second time does no harm.

- [x] Make the key once, before the first try
- [x] Send the same key with each retry

```python
def charge(amount: int, tries: int = 3) -> Receipt:
    key = str(uuid4())  # one key for all tries
    for wait_s in (1, 2, 4)[:tries]:
        try:
            return post("/charges", amount, key=key)
        except ConnectionError:
            sleep(wait_s)
    raise NoReply("nobody knows whether it was charged")
```

| Method | Idempotent |
|---|---|
| `GET`, `PUT`, `DELETE` | yes |
| `POST` | only with a key |
""",
    "watches disks": "1. **Platter**, after what spins inside\n2. **Headroom**, for what is left\n3. **Sectorwatch**, which says what it does",
    "committee": "The bridge will be repaired in spring and closed for six weeks. The road fund pays. A second bridge was put off.",
    "revenue": json.dumps(
        {
            "assumptions": ["Revenue counts paid orders only.", "This year is the calendar year so far."],
            "sql": "SELECT c.name, SUM(o.total_cents) / 100.0 AS revenue\nFROM customers AS c\n"
            "JOIN orders AS o ON o.customer_id = c.id\nWHERE o.status = 'paid' AND o.created_at >= date_trunc('year', now())\n"
            "GROUP BY c.id, c.name\nORDER BY revenue DESC\nLIMIT 10;",
            "explanation": "Adds up the paid orders of each customer and keeps the ten largest sums.",
        }
    ),
}
OTHERWISE = "Here is a short answer."


class Provider(BaseHTTPRequestHandler):
    """The Responses API with `ANSWERS`, streamed word by word."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = json.dumps(body["input"])
        text = next((answer for words, answer in ANSWERS.items() if words in asked), OTHERWISE)
        if body["model"] == OTHER_MODEL and "idempotent" in asked:
            text = text.replace("has the same effect as", "changes no more than").split("\n- [x]")[0]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        words = text.split(" ")
        for word in (f" {word}" if at else word for at, word in enumerate(words)):
            self._send({"type": "response.output_text.delta", "delta": word})
        self._send({"type": "response.completed", "response": _response(body["model"], text, len(asked) // 4)})

    def _send(self, event: dict[str, object]) -> None:
        self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        pass


def _response(model: str, text: str, input_tokens: int) -> dict[str, object]:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    output_tokens = len(text) // 4
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens, "total_tokens": input_tokens + output_tokens}
    return {
        "id": "resp_1", "object": "response", "status": "completed", "model": model, "output": [message], "error": None,
        "incomplete_details": None, "usage": usage,
    }  # fmt: skip


@contextmanager
def provider() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def ask(page: Page, template_id: str, text: str, **more: object) -> str:
    body = {"template_id": template_id, "input": text, **more}
    answer = page.request.post("/api/v1/generate", data=body)
    assert answer.ok, answer.text()
    return str(answer.json()["request_id"])


def fill(page: Page) -> tuple[str, str]:
    """A short history; the two answers to compare."""
    schema = {"schema": "customers (id, name), orders (id, customer_id, status, total_cents, created_at)"}
    ask(page, "basic_chat_v1", "Give me three names for a service that watches disks.")
    ask(page, "summarize_v1", "The committee met on Tuesday. After two hours it agreed to repair the bridge in spring.")
    ask(page, "sql_from_schema_v1", "The ten customers with the highest revenue this year.", parameters=schema)
    ask(page, "basic_chat_v1", "Give me three names for a service that watches disks.")
    other = ask(page, "basic_chat_v1", QUESTION, model=OTHER_MODEL)
    return ask(page, "basic_chat_v1", QUESTION), other


def spread_usage(database: Path) -> None:
    """What was used this hour, as if it had been used on each day of a month, now more and now less."""
    with sqlite3.connect(database) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(usage_hours)")][1:]
        kept = ("owner", "template_id", "template_revision", "model", "provider")
        for hours_ago in range(2, 24 * 55, 5):
            factor = 3 + hours_ago * 7 % 11 if hours_ago % 24 < 12 else 1 + hours_ago % 3
            new = ", ".join(
                f"hour - {hours_ago}" if name == "hour" else name if name in kept else f"{name} * {factor}"
                for name in names
            )
            top = connection.execute("SELECT MAX(usage_id) FROM usage_hours").fetchone()[0]
            recent = "hour = (SELECT MAX(hour) FROM usage_hours)"
            connection.execute(
                f"INSERT INTO usage_hours ({', '.join(names)}) SELECT {new} FROM usage_hours WHERE {recent}"  # noqa: S608 - of our own words
            )
            connection.execute(
                "INSERT INTO usage_latencies (usage_id, bucket, answers) SELECT made.usage_id, bucket, answers FROM usage_hours AS made "
                "JOIN usage_hours AS was USING (owner, template_id, template_revision, model, provider) JOIN usage_latencies AS "
                "latency ON latency.usage_id = was.usage_id WHERE made.usage_id > ? AND was.hour = (SELECT MAX(hour) FROM usage_hours)",
                (top,),
            )


def take(browser: Browser, base_url: str, scheme: str, compared: tuple[str, str]) -> None:
    context = browser.new_context(
        base_url=base_url, viewport={"width": 1280, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    pages = {
        "generate": f"/?from={compared[0]}",
        "compare": f"/compare?ids={compared[0]},{compared[1]}",
        "history": "/history",
        "usage": "/usage",
    }
    for name, path in pages.items():
        answer = page.goto(path)
        assert answer
        assert answer.ok, path
        page.wait_for_load_state("networkidle")
        page.screenshot(path=FOLDER / f"{name}-{scheme}.png")
    context.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, provider() as base_url, sync_playwright() as playwright:
        environ = {
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": base_url,
            "OPENAI_MODEL": MODEL,
            "APP_MODELS": f"{MODEL},{OTHER_MODEL}",
        }
        prices = Path(folder) / "prices.json"
        prices.write_text(json.dumps(PRICES))
        environ["APP_PRICES_FILE"] = str(prices)
        browser = playwright.chromium.launch(executable_path=needed_program("chromium"), args=ARGS)
        with serving(Path(folder), **environ) as server:
            compared = fill(browser.new_page(base_url=server.base_url))
        spread_usage(Path(folder) / "service.db")
        with serving(Path(folder), **environ) as server:
            for scheme in ("light", "dark"):
                take(browser, server.base_url, scheme, compared)
        browser.close()


if __name__ == "__main__":
    main()
