"""The static files, compressed once."""

import mimetypes
import os
from stat import S_ISREG

from flask import Response, request, send_from_directory
from werkzeug.security import safe_join

from .compression import MIN_BYTES, accepts_gzip, gzip_response, gzipped, is_compressible

# Of one file: all files of the folder, compressed, are kept in memory.
MAX_BYTES = 4 * 1024 * 1024


class StaticFiles:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._packed: dict[str, tuple[int, bytes]] = {}

    def send(self, name: str) -> Response:
        """Ranges are parts of the file as it is.

        Raises `NotFound`.
        """
        mimetype = mimetypes.guess_type(name)[0]
        if mimetype is None or not is_compressible(mimetype):
            return send_from_directory(self._folder, name)
        if "HTTP_RANGE" not in request.environ and accepts_gzip():
            packed = self._compressed(name, mimetype)
            if packed is not None:
                return packed
        response = send_from_directory(self._folder, name)
        response.vary.add("Accept-Encoding")
        return response

    def _compressed(self, name: str, mimetype: str) -> Response | None:
        """None for what is no file, or of a size for which it is not worth it."""
        path = safe_join(self._folder, name)
        try:
            found = os.stat(path) if path is not None else None
        except OSError:
            return None
        if path is None or found is None or not S_ISREG(found.st_mode) or not MIN_BYTES <= found.st_size <= MAX_BYTES:
            return None
        changed, packed = self._packed.get(path, (0, b""))
        if changed != found.st_mtime_ns:
            with open(path, "rb") as file:
                packed = gzipped(file.read())
            self._packed[path] = found.st_mtime_ns, packed
        return gzip_response(packed, mimetype, f"{found.st_mtime_ns:x}-{found.st_size:x}")
