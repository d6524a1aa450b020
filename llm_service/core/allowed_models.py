"""Which model answers a request: the caller's choice, the template's, or the default."""

from dataclasses import dataclass

from .errors import UnknownModel
from .templates import Template


@dataclass(frozen=True, slots=True)
class AllowedModels:
    """`allowed` is what callers may ask for; `stand_in` answers in place of every model (the echo provider)."""

    default: str
    allowed: tuple[str, ...]
    stand_in: str | None = None

    def choose(self, asked: str | None, template: Template) -> str:
        """Raises `UnknownModel` for a model outside the list; a template's own model is allowed for that template."""
        chosen = asked or self.default_for(template)
        allowed = self.allowed_for(template)
        if chosen not in allowed:
            raise UnknownModel(chosen, sorted(allowed))
        return self.stand_in or chosen

    def default_for(self, template: Template) -> str:
        """The model of a request that names none; `stand_in` answers in its place too."""
        return template.model or self.default

    def allowed_for(self, template: Template) -> frozenset[str]:
        """What a caller of this template may ask for."""
        return frozenset((*self.allowed, self.default, *([template.model] if template.model else [])))
