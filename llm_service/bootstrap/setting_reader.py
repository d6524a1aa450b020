"""Reads settings, declared as fields of a dataclass, from the environment and `.env`.

The known names and the tables of `make docs` come from the same declarations.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from llm_service.bootstrap.setting_types import SettingType

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """`shown`: the default in words, if its value is unclear. `example`: the value in `.env.example`.

    `any_case`: lower case is a spelling of the name too, and wins.
    """

    section: str
    name: str
    kind: SettingType[object]
    default: object
    help: str
    shown: str | None
    example: str | None
    any_case: bool

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}_FILE") if self.kind.is_secret else (self.name,)


def setting(
    section: str,
    name: str,
    kind: SettingType[T],
    default: T,
    help: str,
    *,
    shown: str | None = None,
    example: str | None = None,
    any_case: bool = False,
) -> T:
    """Declare a field of a dataclass as a setting; `help` is Markdown."""
    declared = Setting(section, name, kind, default, help, shown, example, any_case)
    return field(default=default, metadata={"setting": declared})


def declared(settings: type) -> dict[str, Setting]:
    """The settings of a dataclass by field, in order."""
    return {item.name: item.metadata["setting"] for item in fields(settings) if "setting" in item.metadata}


class Reader:
    """Reads every declared setting and collects the errors."""

    def __init__(self, settings: type, environ: Mapping[str, str], in_file: Mapping[str, str]) -> None:
        self._declared = declared(settings)
        self.given: Mapping[str, str] = {**self._respelled(in_file), **self._respelled(environ)}
        known = {name for item in self._declared.values() for name in item.names}
        unknown = "is not a setting of this service"
        self.faults = [f"{name}: {unknown} (.env)" for name in _unknown(in_file, known)]
        self.warnings = [f"{name}: {unknown}" for name in _unknown(environ, known)]

    def values(self) -> dict[str, Any]:
        """The values by field; the default if a setting is missing or invalid."""
        return {attribute: self._value(item) for attribute, item in self._declared.items()}

    def is_given(self, *names: str) -> bool:
        """Whether any of them is."""
        return any(self._raw(name) for name in names)

    def fault(self, name: str, message: str) -> None:
        self.faults.append(f"{name}: {message}")

    def _value(self, item: Setting) -> object:
        name, raw = self._secret(item.name) if item.kind.is_secret else (item.name, self._raw(item.name))
        if not raw:
            return item.default
        try:
            return item.kind.parse(raw)
        except ValueError as error:
            self.fault(name, str(error))
            return item.default

    def _respelled(self, given: Mapping[str, str]) -> dict[str, str]:
        """With the values of lower-case names under the names of their settings, also empty ones."""
        names = (name for item in self._declared.values() if item.any_case for name in item.names)
        return {**given, **{name: given[name.lower()] for name in names if name.lower() in given}}

    def _raw(self, name: str) -> str:
        return self.given.get(name, "").strip()

    def _secret(self, name: str) -> tuple[str, str]:
        """A secret, and the name that gave it: `NAME` or `NAME_FILE`."""
        value, file_name = self._raw(name), f"{name}_FILE"
        path = self._raw(file_name)
        if not path:
            return name, value
        if value:
            self.fault(name, f"set either {name} or {file_name}, not both")
            return name, ""
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            self.fault(file_name, f"cannot be read ({type(error).__name__})")
            return file_name, ""
        if not value:
            self.fault(file_name, "the file is empty")
        return file_name, value


def _unknown(given: Mapping[str, str], known: set[str]) -> Iterator[str]:
    """Unknown names with our prefix; others belong to other programs."""
    return (name for name in sorted(given) if name.startswith("APP_") and name not in known)
