"""Which model answers a request: the caller's choice, the template's, or the default."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..access.caller import Caller
from ..errors import UnknownModel
from ..templates.model import Template


@dataclass(frozen=True, slots=True)
class AllowedModels:
    """`allowed` is what callers may ask for; `stand_in` answers in place of every model (the echo provider).

    `only`: the models of one caller's key; None = all. `names`: for other names of models, the one that is used here.
    `revision`: another number for each list of the same process.
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

    def choose(self, asked: str | None, template: Template) -> str:
        """Raises `UnknownModel` for a model outside the list; a template's own model is allowed for that template.

        The only place that refuses models, for every caller and every reason.
        """
        chosen = self.name_of(asked) if asked else self.default_for(template)
        allowed = self.allowed_for(template)
        if chosen not in allowed:
            raise UnknownModel(chosen, sorted(allowed))
        return self.stand_in or chosen

    def shown_for(self, template: Template) -> str:
        """The model that pages show for a request that names none."""
        return self.stand_in or self.default_for(template)

    def default_for(self, template: Template) -> str:
        """The model of a request that names none; `stand_in` may answer in its place."""
        return self.name_of(template.model) if template.model else self.default

    def allowed_for(self, template: Template) -> frozenset[str]:
        """The models that a caller may request with this template."""
        allowed = frozenset((*self.allowed, self.default, self.default_for(template)))
        return allowed if self.only is None else allowed & self.only

    @property
    def listed(self) -> list[str]:
        """The models that are allowed for every template."""
        return [name for name in self.allowed if self.only is None or name in self.only]


class ModelSource(Protocol):
    """Where the list of models comes from."""

    @property
    def current(self) -> AllowedModels:
        """It may change at any time. Read it once to get several answers of the same list."""
        ...
