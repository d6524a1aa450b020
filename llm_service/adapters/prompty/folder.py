"""The folder of prompt files.

It is polled, not watched: a scan costs one `stat` per file, notices every kind of change, works on every file system and
needs no thread of its own. A file that was just written may change again within the same tick of the file system's clock:
its content is compared, too, until it is two seconds old.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from llm_service.core.templates.model import TEMPLATE_ID, Template, TemplateSet, version_of
from llm_service.core.templates.ports import TemplateFault, TemplateFaults
from llm_service.core.templates.self_tests import failures

from ..new_files import open_private
from ..strict_yaml import FileFormatError
from ..text_file import decode, read_bytes
from .parser import parse_prompty

log = structlog.get_logger("llm_service")

MAX_PROMPT_FILE_BYTES = 256 * 1024
SUFFIX = ".prompty"

# Inode, size and times: they change when the file does, except within one tick of the file system's clock.
Stamp = tuple[int, int, int, int]
# Longer than a tick of any file system. FAT's is the longest.
SETTLES_S = 2.0


class PromptFolder:
    """Implements `TemplateSource`. A good file is read again only after it changed."""

    def __init__(
        self,
        folder: Path,
        *,
        default_max_chars: int,
        run_tests: bool = True,
        kept: Path | None = None,
        timer: Callable[[], float] = time.time,
    ) -> None:
        """`kept`: the file in which the last good set is saved for processes that start later. `timer`: Unix time."""
        self._folder = folder
        self._run_tests = run_tests
        self._kept = kept
        self._default_max_chars = default_max_chars
        self._timer = timer
        self._scanned: Mapping[str, Stamp] | None = None
        # Of the files that were young when they were read: a hash of their content, by name.
        self._unsettled: dict[str, bytes] = {}
        self._good: dict[Path, tuple[Stamp, Template]] = {}

    def changed(self) -> bool:
        return self._scan() != self._scanned or self._rewritten()

    def load(self) -> TemplateSet:
        """Read every `*.prompty` file of the folder and run its tests.

        Raises `TemplateFaults` with the faults of all files. An empty or missing folder is a fault, too.
        """
        # Scanned before it is read, so changes made meanwhile are noticed by the next scan.
        self._scanned = self._scan()
        before, self._unsettled = self._unsettled, self._hashes_of_the_young(self._scanned)
        if not self._folder.is_dir():
            raise TemplateFaults([TemplateFault(str(self._folder), None, "the folder of prompt files does not exist")])
        faults: list[TemplateFault] = []
        good: dict[Path, tuple[Stamp, Template]] = {}
        for name, stamp in self._scanned.items():
            path = self._folder / name
            known = self._good.get(path)
            same = known is not None and known[0] == stamp and before.get(name) == self._unsettled.get(name)
            try:
                good[path] = known if known and same else (stamp, self._read(path))
            except FileFormatError as error:
                faults.append(TemplateFault(str(path), error.line or None, error.message))
            except TemplateFaults as error:
                faults += error.faults
            except Exception as error:  # a bug: it must not prevent the other files from being read
                log.error("unexpected error", exc_info=error)
                kind = type(error).__name__
                faults.append(TemplateFault(str(path), None, f"cannot be read because of an internal error ({kind})"))
        if not self._scanned:
            faults.append(TemplateFault(str(self._folder), None, f"contains no readable {SUFFIX} file"))
        faults += _same_versions(good)
        self._good = good
        if faults:
            raise TemplateFaults(faults)
        return TemplateSet({path.stem: template for path, (_, template) in good.items()})

    def save_last_good(self, templates: TemplateSet) -> None:
        if self._kept is None:
            return
        sources = {template.template_id: template.source for template in templates}
        fresh = self._kept.with_name(f"{self._kept.name}.{os.getpid()}")
        with os.fdopen(open_private(fresh, os.O_TRUNC | os.O_WRONLY, fresh.parent), "w") as file:
            json.dump(sources, file)
        fresh.replace(self._kept)

    def load_last_good(self) -> TemplateSet | None:
        if self._kept is None or not self._kept.exists():
            return None
        sources = json.loads(self._kept.read_text())
        chars = self._default_max_chars
        try:
            return TemplateSet(
                {id_: parse_prompty(id_, text, default_max_chars=chars) for id_, text in sources.items()}
            )
        except FileFormatError:
            return None  # another version of the program saved it

    def _scan(self) -> Mapping[str, Stamp]:
        """By file name. Runs twice a second, so without `Path`s, which take three times as long."""
        try:
            names = sorted(name for name in os.listdir(self._folder) if name.lower().endswith(SUFFIX))
        except OSError:
            return {}
        # Editors keep lock files and half-written copies as hidden files.
        return {name: _stamp(f"{self._folder}/{name}") for name in names if not name.startswith(".")}

    def _hashes_of_the_young(self, scanned: Mapping[str, Stamp]) -> dict[str, bytes]:
        """Taken before the files are read, so that a write in between is noticed as one."""
        now = self._timer()
        return {name: self._hash(name) for name, stamp in scanned.items() if _is_young(stamp, now)}

    def _rewritten(self) -> bool:
        """Whether a file has other content, although its stamp is the same. Reads only those that were young."""
        if not self._unsettled or self._scanned is None:
            return False
        now = self._timer()
        for name, content in tuple(self._unsettled.items()):
            if self._hash(name) != content:
                return True
            if not _is_young(self._scanned[name], now):
                # The next write gets another time.
                del self._unsettled[name]
        return False

    def _hash(self, name: str) -> bytes:
        """Empty if the file cannot be read: `load` reports that."""
        with suppress(OSError, FileFormatError):
            return hashlib.sha256(read_bytes(self._folder / name, MAX_PROMPT_FILE_BYTES)).digest()
        return b""

    def _read(self, path: Path) -> Template:
        time.sleep(0)  # let requests proceed between two files
        template = _load(path, self._folder, self._default_max_chars)
        faults = [
            TemplateFault(str(path), test.line, f"its test {test.name!r} fails: {failure}")
            for test in (template.tests if self._run_tests else ())
            for failure in failures(template, test)
        ]
        if faults:
            raise TemplateFaults(faults)
        return template


def _same_versions(paths: Iterable[Path]) -> list[TemplateFault]:
    """`x_v1` and `x_v01` would both be version 1 of `x`."""
    found: dict[tuple[str, int], list[Path]] = {}
    for path in paths:
        if version := version_of(path.stem):
            found.setdefault(version, []).append(path)
    return [
        TemplateFault(
            str(path), None, f"is the same version as {', '.join(other.name for other in same if other != path)}"
        )
        for same in found.values()
        for path in same
        if len(same) > 1
    ]


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0, 0)  # gone, or a broken link: reading it reports that
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_young(stamp: Stamp, now: float) -> bool:
    """By the time of the last change of any kind, which no program can set."""
    return now - stamp[3] / 1e9 < SETTLES_S


def _load(path: Path, folder: Path, default_max_chars: int) -> Template:
    if path.suffix != SUFFIX:
        raise FileFormatError(f"must end in {SUFFIX}, in lower case", 0)
    if not TEMPLATE_ID.fullmatch(path.stem):
        raise FileFormatError(
            "the file name must be 3 to 64 characters: lowercase letters, digits and _, with a letter first", 0
        )
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FileFormatError("is a link to a file outside the folder", 0)
    try:
        text = decode(read_bytes(path, MAX_PROMPT_FILE_BYTES))
    except OSError as error:
        raise FileFormatError(f"cannot be read: {error.strerror}", 0) from error
    return parse_prompty(path.stem, text.replace("\r\n", "\n"), default_max_chars=default_max_chars)
