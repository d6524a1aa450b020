"""The folder of prompt files."""

import stat
from dataclasses import dataclass
from pathlib import Path

from llm_service.core.templates import TEMPLATE_ID, Template, TemplateSet

from .prompty import parse_prompty
from .prompty_yaml import PromptyError

MAX_FILE_BYTES = 256 * 1024
SUFFIX = ".prompty"


@dataclass(frozen=True, slots=True)
class PromptFault:
    """What is wrong with one file; `line` None = the file as a whole."""

    path: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.path}{'' if self.line is None else f':{self.line}'}: {self.message}"


class PromptFilesError(Exception):
    """The folder cannot be used; `faults` has every file's fault."""

    def __init__(self, faults: list[PromptFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def load_prompts(folder: Path, *, default_max_chars: int) -> TemplateSet:
    """Read every `*.prompty` file of the folder.

    Raises `PromptFilesError` with the faults of all files at once; an empty or missing folder is one too.
    """
    if not folder.is_dir():
        raise PromptFilesError([PromptFault(str(folder), None, "the folder of prompt files does not exist")])
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    faults: list[PromptFault] = []
    templates: dict[str, Template] = {}
    for path in paths:
        try:
            templates[path.stem] = _load(path, folder, default_max_chars)
        except PromptyError as error:
            faults.append(PromptFault(str(path), error.line or None, error.message))
    if not paths:
        faults.append(PromptFault(str(folder), None, f"holds no {SUFFIX} file"))
    if faults:
        raise PromptFilesError(faults)
    return TemplateSet(templates)


def _load(path: Path, folder: Path, default_max_chars: int) -> Template:
    if not TEMPLATE_ID.fullmatch(path.stem):
        raise PromptyError("the file's name must be 3 to 64 small letters, digits and _, and begin with a letter", 0)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PromptyError("is a link out of the folder", 0)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise PromptyError("is not a regular file", 0)
    if status.st_size > MAX_FILE_BYTES:
        raise PromptyError(f"is larger than {MAX_FILE_BYTES // 1024} KiB", 0)
    data = path.read_bytes()
    if data.startswith(b"\xef\xbb\xbf"):
        raise PromptyError("begins with a byte order mark: save it as UTF-8 without one", 1)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PromptyError("is not UTF-8", data[: error.start].count(b"\n") + 1) from error
    if "\x00" in text:
        raise PromptyError("holds a NUL character", text[: text.index("\x00")].count("\n") + 1)
    return parse_prompty(path.stem, text.replace("\r\n", "\n"), default_max_chars=default_max_chars)
