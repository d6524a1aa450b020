"""Which models may answer a request: the caller's choice, the template's, or the default, and their fallbacks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol

from ..access.caller import Caller
from ..errors import UnknownModel
from ..model_chain import chain_of
from ..templates.model import Template


@dataclass(frozen=True, slots=True)
class AllowedModels:
    """`allowed` is what callers may ask for; `stand_in` answers in place of every model (the echo provider).

    An entry of `allowed` may be a model with its fallbacks (`a>b`), which is asked for as `a`. `only`: the models of one
    caller's key; None = all. A key that opens a model opens its fallbacks. `names`: for other names of models, the one that
    is used here. `revision`: another number for each list of the same process.
    """

    default: str
    allowed: tuple[str, ...]
    stand_in: str | None = None
    only: frozenset[str] | None = None
    names: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    revision: int = 0

    @property
    def current(self) -> "AllowedModels":
        """Satisfies `ModelSource`: this list never changes."""
        return self

    def of(self, caller: Caller) -> "AllowedModels":
        """The models that the caller's key allows."""
        if caller.models is None:
            return self
        return replace(self, only=frozenset(self.name_of(name) for name in caller.models))

    def name_of(self, model: str) -> str:
        """The name that is used here for a model that has several."""
        return self.names.get(model, model)

    def choose(self, asked: str | None, template: Template) -> tuple[str, ...]:
        """The models that may answer, in the order in which they are asked.

        Raises `UnknownModel` for a model outside the list; a template's own model is allowed for that template.

        The only place that refuses models, for every caller and every reason.
        """
        chosen = self.name_of(asked) if asked else self.default_for(template)
        allowed = self.allowed_for(template)
        if chosen not in allowed:
            raise UnknownModel(chosen, sorted(allowed))
        return (self.stand_in,) if self.stand_in else self._with_fallbacks(chosen, template)

    def shown_for(self, template: Template) -> str:
        """The model that pages show for a request that names none."""
        return self.stand_in or self.default_for(template)

    def default_for(self, template: Template) -> str:
        """The model of a request that names none; `stand_in` may answer in its place."""
        return self.name_of(chain_of(template.model)[0]) if template.model else self.default

    def allowed_for(self, template: Template) -> frozenset[str]:
        """The models that a caller may request with this template."""
        allowed = frozenset((*_lists(self.allowed), self.default, self.default_for(template)))
        return allowed if self.only is None else allowed & self.only

    @property
    def listed(self) -> list[str]:
        """The models that are allowed for every template."""
        return [name for name in _lists(self.allowed) if self.only is None or name in self.only]

    @property
    def listed_with_fallbacks(self) -> list[str]:
        """The models of `listed`, and those that may answer in their place."""
        lists = _lists(self.allowed)
        return list(dict.fromkeys(self.name_of(name) for first in self.listed for name in lists[first]))

    def _with_fallbacks(self, model: str, template: Template) -> tuple[str, ...]:
        """A template's own list comes before the service's."""
        own = chain_of(template.model) if template.model else ()
        is_its = len(own) > 1 and self.name_of(own[0]) == model
        names = own if is_its else _lists(self.allowed).get(model, (model,))
        # Two names of one model count once.
        return names if len(names) == 1 else tuple(dict.fromkeys(map(self.name_of, names)))


@lru_cache(maxsize=64)
def _lists(allowed: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Each model that may be asked for, with its fallbacks behind it."""
    lists = map(chain_of, allowed)
    return {names[0]: names for names in lists}


class ModelSource(Protocol):
    """Where the list of models comes from."""

    @property
    def current(self) -> AllowedModels:
        """It may change at any time. Read it once to get several answers of the same list."""
        ...
