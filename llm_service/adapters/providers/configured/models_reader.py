"""Reads the models of a provider in the providers file, with their prices and quirks."""

import re
from dataclasses import fields, replace
from decimal import Decimal

from llm_service.core.usage.pricing import Price, per_million

from ...strict_yaml import FileFormatError, Node
from ..openai_api.quirks import Quirks
from ..prices import KEYS as PRICE_KEYS
from ..prices import usd_per_million
from .config import ModelConfig
from .section import Section

MAX_TOKENS = 100_000_000
# Lists of models are separated by commas, keys' by blanks, fallbacks by >.
MODEL_NAME = re.compile(r"[^\s,>]{1,150}")
QUIRKS = tuple(quirk.name for quirk in fields(Quirks))
_MODEL = dict.fromkeys(("as", "context", "price", *QUIRKS), "")
_PRICE = dict.fromkeys(PRICE_KEYS, "")


class ModelsReader:
    """`price_version`: names the file as a list of prices."""

    def __init__(self, price_version: str, faults: list[FileFormatError]) -> None:
        self._price_version = price_version
        self._faults = faults

    def read(
        self, section: Section, quirks: Quirks, only: str | None
    ) -> tuple[tuple[ModelConfig, ...], dict[str, Quirks]]:
        """The models, and the quirks of those that have others than their provider, by the name that the server knows.

        `quirks` are the provider's. `only`: the one model of a provider that names none; None = it must.
        """
        node = section.node("models")
        if node is None and only is not None:
            return (ModelConfig(only, only, section.line),), {}
        named = self._named_models(section, node)
        models: list[ModelConfig] = []
        of_servers_name: dict[str, Quirks] = {}
        for name, entry in named.items():
            options = Section(f"{section.where}.models.{name}", entry, _MODEL, self._faults)
            sent_as, own = options.text("as") or name, read_quirks(options, quirks)
            if of_servers_name.setdefault(sent_as, own) != own:
                options.fault("as", "is the name of another model, too, which has other quirks")
            context = options.integer("context", 1, MAX_TOKENS)
            models.append(ModelConfig(name, sent_as, entry.line, context, self._price(options)))
        return tuple(models), {name: own for name, own in of_servers_name.items() if own != quirks}

    def _named_models(self, section: Section, node: Node | None) -> dict[str, Node]:
        """The options of each model by its name. In a list, models have none."""
        named: dict[str, Node] = {}
        content = node.content if node is not None else None
        if isinstance(content, dict):
            # `name:` without options.
            named = {name: Node(e.line, {}) if e.content is None else e for name, e in content.items()}
        elif isinstance(content, list):
            for item in content:
                if not isinstance(item.content, str):
                    self._fault(f"{section.where}.models must be names: put each in quotes", item.line)
                elif item.content in named:
                    self._fault(f"{section.where}.models: {item.content} appears twice", item.line)
                else:
                    named[item.content] = Node(item.line, {})
        if not content or not isinstance(content, dict | list):
            section.fault("models", "must be a list of names, or a mapping of names to options, and not empty")
        for name, entry in named.items():
            if not MODEL_NAME.fullmatch(name) or not name.isprintable():
                message = "the name of a model must be 1 to 150 characters without blanks, commas and >"
                self._fault(f"{section.where}.models: {message}", entry.line)
        return named

    def _price(self, options: Section) -> Price | None:
        for amounts in options.sections("price", _PRICE):
            return self._own_price(amounts)
        return None

    def _own_price(self, amounts: Section) -> Price | None:
        found: dict[str, Decimal] = {}
        for key in PRICE_KEYS:
            node = amounts.node(key)
            if node is None:
                if key != "cached_input":
                    amounts.fault(key, "is missing")
                continue
            try:
                found[key] = usd_per_million(f"{amounts.where}.{key}", node)
            except FileFormatError as error:
                self._faults.append(error)
        if "input" not in found or "output" not in found:
            return None
        cached = found.get("cached_input", found["input"])
        if cached > found["input"]:
            amounts.fault("cached_input", "is more than input")
        return Price(self._price_version, per_million(found["input"], cached, found["output"]))

    def _fault(self, message: str, line: int) -> None:
        self._faults.append(FileFormatError(message, line))


def read_quirks(section: Section, base: Quirks) -> Quirks:
    """`base`, with what the section says."""
    given = {name: flag for name in QUIRKS if (flag := section.flag(name)) is not None}
    return replace(base, **given)
