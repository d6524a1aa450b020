"""The folder of prompt files.

It is looked at again and again instead of being watched: a look costs one `stat` for each file, sees every way in
which a file can change, works on every file system, and needs no thread beside the worker's own.
"""

import json
import os
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from llm_service.core.templates.model import TEMPLATE_ID, Template, TemplateSet, version_of
from llm_service.core.templates.ports import TemplateFault, TemplateFaults
from llm_service.core.templates.self_tests import failures

from ..strict_yaml import PromptyError
from .parser import parse_prompty

log = structlog.get_logger("llm_service")

MAX_FILE_BYTES = 256 * 1024
SUFFIX = ".prompty"

# What changes when a file does. Only a second write of the same length in place, within one tick of the file system's
# clock (some milliseconds) after a look, goes unseen.
Stamp = tuple[int, int, int, int]


class PromptFolder:
    """Satisfies `TemplateSource`. Files that did not change since they were good are not read again."""

    def __init__(
        self, folder: Path, *, default_max_chars: int, run_tests: bool = True, kept: Path | None = None
    ) -> None:
        """`kept` is a file of the service's own that holds the last good set, for processes that start later."""
        self._folder = folder
        self._run_tests = run_tests
        self._kept = kept
        self._default_max_chars = default_max_chars
        self._seen: Mapping[Path, Stamp] | None = None
        self._good: dict[Path, tuple[Stamp, Template]] = {}

    def changed(self) -> bool:
        return self._look() != self._seen

    def load(self) -> TemplateSet:
        """Read every `*.prompty` file of the folder and run the tests that it carries.

        Raises `TemplateFaults` with the faults of all files at once; an empty or missing folder is one too.
        """
        # Looked at before it is read: what changes meanwhile is a change.
        self._seen = self._look()
        if not self._folder.is_dir():
            raise TemplateFaults([TemplateFault(str(self._folder), None, "the folder of prompt files does not exist")])
        faults: list[TemplateFault] = []
        good: dict[Path, tuple[Stamp, Template]] = {}
        for path, stamp in self._seen.items():
            known = self._good.get(path)
            try:
                good[path] = known if known and known[0] == stamp else (stamp, self._read(path))
            except PromptyError as error:
                faults.append(TemplateFault(str(path), error.line or None, error.message))
            except TemplateFaults as error:
                faults += error.faults
            except Exception as error:  # a bug of the reader: one file must not keep all others from being read
                log.error("unexpected error", exc_info=error)
                kind = type(error).__name__
                faults.append(TemplateFault(str(path), None, f"cannot be read: an error of the service's own ({kind})"))
        if not self._seen:
            faults.append(TemplateFault(str(self._folder), None, f"holds no {SUFFIX} file that can be read"))
        faults += _same_versions(good)
        self._good = good
        if faults:
            raise TemplateFaults(faults)
        return TemplateSet({path.stem: template for path, (_, template) in good.items()})

    def keep(self, templates: TemplateSet) -> None:
        if self._kept is None:
            return
        sources = {template.template_id: template.source for template in templates}
        fresh = self._kept.with_name(f"{self._kept.name}.{os.getpid()}")
        fresh.write_text(json.dumps(sources))
        fresh.chmod(0o600)
        fresh.replace(self._kept)

    def last_good(self) -> TemplateSet | None:
        if self._kept is None or not self._kept.exists():
            return None
        sources = json.loads(self._kept.read_text())
        chars = self._default_max_chars
        try:
            return TemplateSet(
                {id_: parse_prompty(id_, text, default_max_chars=chars) for id_, text in sources.items()}
            )
        except PromptyError:
            return None  # another version of the program kept it

    def _look(self) -> Mapping[Path, Stamp]:
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.name.lower().endswith(SUFFIX))
        except OSError:
            return {}
        # Editors keep locks and half-written copies in hidden files.
        return {path: _stamp(path) for path in paths if not path.name.startswith(".")}

    def _read(self, path: Path) -> Template:
        time.sleep(0)  # requests go on between two files
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
        TemplateFault(str(path), None, f"is the same version as {', '.join(one.name for one in same if one != path)}")
        for same in found.values()
        for path in same
        if len(same) > 1
    ]


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0, 0)  # it is gone, or a link to nowhere: reading it says so
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _load(path: Path, folder: Path, default_max_chars: int) -> Template:
    if path.suffix != SUFFIX:
        raise PromptyError(f"must end in {SUFFIX}, in small letters", 0)
    if not TEMPLATE_ID.fullmatch(path.stem):
        raise PromptyError("the file's name must be 3 to 64 small letters, digits and _, and begin with a letter", 0)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PromptyError("is a link out of the folder", 0)
    try:
        text = _decode(_read_bytes(path))
    except OSError as error:
        raise PromptyError(f"cannot be read: {error.strerror}", 0) from error
    return parse_prompty(path.stem, text.replace("\r\n", "\n"), default_max_chars=default_max_chars)


def _read_bytes(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise PromptyError("is not a regular file", 0)
    if status.st_size > MAX_FILE_BYTES:
        raise PromptyError(f"is larger than {MAX_FILE_BYTES // 1024} KiB", 0)
    return path.read_bytes()


def _decode(data: bytes) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise PromptyError("begins with a byte order mark: save it as UTF-8 without one", 1)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PromptyError("is not UTF-8", data[: error.start].count(b"\n") + 1) from error
    if "\x00" in text:
        raise PromptyError("holds a NUL character", text[: text.index("\x00")].count("\n") + 1)
    return text
