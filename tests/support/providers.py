"""Providers files, and servers that list their models."""

import asyncio
import json
import textwrap
from pathlib import Path
from typing import Any

from tests.support.upstream import Upstream


class ListingUpstream(Upstream):
    """Also answers `GET /v1/models`, to those who have the key.

    `models` None = as a server that has no such list. `whole`: another body, as text.
    """

    def __init__(self, *models: str, key: str | None = None, listed: bool = True, whole: str | None = None) -> None:
        super().__init__()
        self._listed = listed
        self._key = key
        entries = [{"id": name, "object": "model"} for name in models]
        self._whole = whole if whole is not None else json.dumps({"object": "list", "data": entries})

    async def _answer(self, request: dict[str, Any], reader: Any, writer: asyncio.StreamWriter) -> None:
        if self._key is not None and request["headers"].get("authorization") != f"Bearer {self._key}":
            await _reply(writer, 401, json.dumps({"error": {"message": f"wrong key, not {self._key}"}}))
        elif request["path"] == "/v1/models" and self._listed:
            await _reply(writer, 200, self._whole)
        else:
            await super()._answer(request, reader, writer)


async def _reply(writer: asyncio.StreamWriter, status: int, body: str) -> None:
    data = body.encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    await writer.drain()


def write_providers(folder: Path, text: str, name: str = "providers.yml") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path
