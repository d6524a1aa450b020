"""Reads the text of the providers file. All faults are found at once, each with its line.

No message quotes the value of a key, of a URL or of a proxy: a secret may be in the wrong place.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_service.core.file_faults import FileFault, FileFaults

from ...strict_yaml import FileFormatError, Node, read_yaml
from ..addresses import plain_http_url
from ..circuit_breaker import DEFAULT_RULES, BreakerRules
from ..openai_api import OPENAI_URL, is_openai
from ..openai_api.quirks import NO_QUIRKS
from ..proxies import Proxy
from .config import KINDS, Connection, ProviderConfig
from .models_reader import QUIRKS, ModelsReader, read_quirks
from .section import Section

MAX_SLOTS = 100_000
MAX_S = 86_400.0
# What the database keeps of it.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,19}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NO_KEYS_HERE = "name the variable (api_key_env) or the file (api_key_file) that has the key, and do not write it here"
_ECHO = dict.fromkeys(("kind", "models", "slots"), "")
_SERVER = {
    **dict.fromkeys(("kind", "base_url", "api_key_env", "api_key_file", "models", "slots"), ""),
    **dict.fromkeys(("idle_timeout_s", "first_output_timeout_s", "breaker", "free", "public_prices", *QUIRKS), ""),
    "api_key": _NO_KEYS_HERE,
}
_BREAKER = dict.fromkeys(("min_attempts", "failed_share", "open_s"), "")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the file refers to, and what applies where it says nothing.

    `environ`: the variables. `read_file`: the content of a file that it names; raises `OSError` or `FileFormatError`.
    `proxy_for`: the proxy to a URL; raises `ValueError`.
    """

    environ: Mapping[str, str]
    read_file: Callable[[Path], str]
    proxy_for: Callable[[str], Proxy | None]
    slots: int
    idle_timeout_s: float


def read_providers(path: Path, text: str, around: Surroundings) -> tuple[ProviderConfig, ...]:
    """The providers in the order of the file.

    Raises `FileFaults` with all faults.
    """
    faults: list[FileFormatError] = []
    found: tuple[ProviderConfig, ...] = ()
    try:
        root = read_yaml(text, 1, faults)
        found = _Reader(path, text, around, faults).providers(root)
    except FileFormatError as error:
        faults.append(error)
    if faults:
        in_order = sorted(_one_for_each_line(faults), key=lambda fault: fault.line)
        raise FileFaults([FileFault(str(path), fault.line or None, fault.message) for fault in in_order])
    return found


def _one_for_each_line(faults: list[FileFormatError]) -> list[FileFormatError]:
    """Without what only follows from YAML that was not taken; equal lines of different faults are kept."""
    return list({(fault.line, fault.message): fault for fault in faults}.values())


class _Reader:
    def __init__(self, path: Path, text: str, around: Surroundings, faults: list[FileFormatError]) -> None:
        self._folder = path.parent
        self._around = around
        self._faults = faults
        version = f"{path.name[:31]} {hashlib.sha256(text.encode()).hexdigest()[:8]}"
        self._models = ModelsReader(version, faults)

    def providers(self, root: Node) -> tuple[ProviderConfig, ...]:
        top = Section("the file", root, {"providers": ""}, self._faults)
        node = top.node("providers")
        if node is None or not isinstance(node.content, dict) or not node.content:
            self._fault("providers must be a mapping with at least one provider", node.line if node else root.line)
            return ()
        read = (self._provider(name, entry) for name, entry in node.content.items())
        found = tuple(provider for provider in read if provider is not None)
        self._refuse_hidden_models(found)
        return found

    def _provider(self, name: str, node: Node) -> ProviderConfig | None:
        where = name if NAME.fullmatch(name) else "this provider"
        if where != name:
            self._fault("the name of a provider must be 1 to 20 letters, digits, _, . and -", node.line)
        is_echo = isinstance(node.content, dict) and "kind" in node.content and node.content["kind"].content == "echo"
        section = Section(where, node, _ECHO if is_echo else _SERVER, self._faults)
        if not section.is_mapping:
            return None
        kind = section.choice("kind", KINDS)
        if kind is None and "kind" not in section:
            section.fault("kind", f"is missing: one of {', '.join(KINDS)}")
        base_url, key = self._base_url(section, kind), self._key(section)
        to_openai = kind in ("responses", "chat") and is_openai(base_url)
        if to_openai and "base_url" not in section and not self._names_key(section):
            section.fault("api_key_env", "is missing: without base_url, OpenAI is called, which needs a key")
        quirks = read_quirks(section, NO_QUIRKS)
        models, own_quirks = self._models.read(section, quirks, "echo" if is_echo else None)
        connection = Connection(
            name=name,
            kind=kind or KINDS[0],
            slots=section.integer("slots", 1, MAX_SLOTS) or self._around.slots,
            idle_timeout_s=section.number("idle_timeout_s", 0.1, MAX_S) or self._around.idle_timeout_s,
            base_url=base_url,
            api_key=key,
            first_output_timeout_s=section.number("first_output_timeout_s", 0.1, MAX_S),
            proxy=None if is_echo else self._proxy(section, base_url),
            breaker=_breaker(section),
            quirks=quirks,
            model_quirks=own_quirks,
            sdk_variables=to_openai,
        )
        public = section.flag("public_prices")
        return ProviderConfig(connection, models, self._is_free(section), to_openai if public is None else public)

    def _base_url(self, section: Section, kind: str | None) -> str | None:
        text = section.text("base_url")
        if text is None:
            if kind == "azure" and "base_url" not in section:
                section.fault("base_url", "is missing: such as https://NAME.openai.azure.com/openai/v1")
            return None
        try:
            return plain_http_url(text)
        except ValueError as error:
            section.fault("base_url", str(error))
            return None

    def _proxy(self, section: Section, base_url: str | None) -> Proxy | None:
        try:
            return self._around.proxy_for(base_url or OPENAI_URL)
        except ValueError as error:
            section.fault("base_url", f"is reached through a proxy: {error}")
            return None

    def _names_key(self, section: Section) -> bool:
        return "api_key_env" in section or "api_key_file" in section

    def _key(self, section: Section) -> str | None:
        """The API key. A fault of its own for each way in which it cannot be found."""
        variable, file = section.text("api_key_env"), section.text("api_key_file")
        if "api_key_env" in section and "api_key_file" in section:
            section.fault("api_key_file", "and api_key_env: name only one of them")
        elif variable is not None:
            return self._key_of_variable(section, variable)
        elif file is not None:
            return self._key_of_file(section, "api_key_file", self._folder / file)
        return None

    def _key_of_variable(self, section: Section, name: str) -> str | None:
        if not _VARIABLE.fullmatch(name):
            section.fault("api_key_env", "must be the name of an environment variable")
            return None
        environ = self._around.environ
        if value := environ.get(name, "").strip():
            return _valid_key(section, "api_key_env", value)
        if file := environ.get(f"{name}_FILE", "").strip():
            return self._key_of_file(section, "api_key_env", Path(file))
        section.fault("api_key_env", "names a variable that is not set (nor is one with _FILE at its end)")
        return None

    def _key_of_file(self, section: Section, key: str, path: Path) -> str | None:
        try:
            return _valid_key(section, key, self._around.read_file(path).strip())
        except (OSError, ValueError) as error:
            section.fault(key, f"leads to a file that cannot be read ({type(error).__name__})")
        except FileFormatError as error:
            section.fault(key, f"leads to a file that {error.message}")
        return None

    def _is_free(self, section: Section) -> bool:
        free = section.flag("free") or False
        if free and section.flag("public_prices"):
            section.fault("public_prices", "contradicts free")
        return free

    def _refuse_hidden_models(self, providers: tuple[ProviderConfig, ...]) -> None:
        """A model that no name leads to: another provider has its name first, and a third one a model named after it."""
        exact = {model.name for provider in providers for model in provider.models}
        first: set[str] = set()
        for provider in providers:
            for model in provider.models:
                whole = f"{provider.name}/{model.name}"
                if model.name in first and whole in exact:
                    self._fault(f"{whole} cannot be asked for: that is the name of another model, too", model.line)
                first.add(model.name)

    def _fault(self, message: str, line: int) -> None:
        self._faults.append(FileFormatError(message, line))


def _valid_key(section: Section, key: str, value: str) -> str | None:
    if not value or not value.isascii() or not value.isprintable():
        section.fault(key, "leads to a key that is empty, or not printable ASCII")
        return None
    return value


def _breaker(section: Section) -> BreakerRules:
    rules = DEFAULT_RULES
    for given in section.sections("breaker", _BREAKER):
        rules = BreakerRules(
            min_attempts=given.integer("min_attempts", 1, 1_000_000) or rules.min_attempts,
            failed_share=given.number("failed_share", 0.01, 1) or rules.failed_share,
            open_s=given.number("open_s", 0.1, MAX_S) or rules.open_s,
        )
    return rules
