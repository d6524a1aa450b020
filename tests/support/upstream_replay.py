"""Bodies of other servers, which the scripted upstream sends byte by byte as they are.

A model `replay-SERVER-CASE` gets the file `tests/servers/transcripts/SERVER/CASE.EXT`, or `CASE.STATUS.EXT` with another
status than 200. The extension is `sse`, `json`, `html` or `txt` (which has no Content-Type). A test can also give an
upstream bodies of its own: `upstream.replays["any-name"] = sse(...)`.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

TRANSCRIPTS = Path(__file__).parents[1] / "servers" / "transcripts"
_MEDIA = {"sse": "text/event-stream", "json": "application/json", "html": "text/html", "txt": ""}

# Events that say nothing, which servers and proxies send while a model thinks.
KEEP_ALIVES = [
    b"data:\n\n",
    b"data: \n\n",
    b"event: ping\ndata:\n\n",
    b"event: ping\ndata: null\n\n",
    b"event: ping\ndata: 2026-11-29 18:00\n\n",
    b"event: keepalive\ndata: []\n\n",
    b"event: keep-alive\ndata: alive\n\n",
    b"event: heartbeat\ndata: 1\n\n",
]


@dataclass(frozen=True)
class Replay:
    """`media`: the Content-Type; empty = none. `piece_bytes`: how much is sent at once; 0 = everything.

    `holds`: after the body, the connection stays open until the client leaves.
    """

    body: bytes
    status: int = 200
    media: str = "text/event-stream"
    headers: tuple[str, ...] = ()
    piece_bytes: int = 0
    holds: bool = False

    def in_pieces(self, size: int) -> "Replay":
        return replace(self, piece_bytes=size)

    @property
    def head(self) -> bytes:
        media = [f"Content-Type: {self.media}"] if self.media else []
        lines = [f"HTTP/1.1 {self.status} X", *media, "Transfer-Encoding: chunked", "x-request-id: req_test"]
        return "\r\n".join([*lines, *self.headers, "", ""]).encode()

    @property
    def pieces(self) -> list[bytes]:
        size = self.piece_bytes or len(self.body) or 1
        return [self.body[start : start + size] for start in range(0, len(self.body), size)]


def replay_of(model: str, folder: Path = TRANSCRIPTS) -> Replay | None:
    """The transcript that a model's name tells; None if there is none."""
    words = model.split("-")
    if words[0] != "replay":
        return None
    for cut in range(2, len(words)):
        server, case = "-".join(words[1:cut]), "-".join(words[cut:])
        for path in sorted((folder / server).glob(f"{case}.*")):
            return from_file(path)
    return None


def from_file(path: Path) -> Replay:
    *statuses, extension = [suffix.removeprefix(".") for suffix in path.suffixes]
    return Replay(path.read_bytes(), int(statuses[0]) if statuses else 200, _MEDIA[extension])


def all_transcripts(folder: Path = TRANSCRIPTS) -> list[str]:
    """The models of all files."""
    return sorted(f"replay-{path.parent.name}-{path.name.split('.')[0]}" for path in folder.glob("*/*.*"))


def sse(*events: Any, named: bool = False) -> Replay:
    """A stream of these events: objects, or text that is data as it is. `named`: with `event:` lines."""
    lines = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event)
        name = f"event: {event['type']}\n" if named else ""
        lines.append(f"{name}data: {data}\n\n")
    return Replay("".join(lines).encode())


def whole(body: Any, status: int = 200, *headers: str) -> Replay:
    """One JSON body."""
    return Replay(json.dumps(body).encode(), status, "application/json", headers)
