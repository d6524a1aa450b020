"""By which names requests ask for the models of several providers.

The first provider of the file that has a model has its plain name, and further ones are asked for as `provider/model`. This
also names the first. A model whose own name is written so wins over that reading, because names contain slashes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .config import ModelConfig, ProviderConfig


@dataclass(frozen=True, slots=True)
class ModelNames:
    """`models`: by the name in rows and answers, in the order of the file. `others`: that name by each other one."""

    models: Mapping[str, tuple[ProviderConfig, ModelConfig]]
    others: Mapping[str, str]

    def find(self, name: str) -> str | None:
        """The name in rows and answers; None = there is no such model."""
        return name if name in self.models else self.others.get(name)


def model_names(configs: Sequence[ProviderConfig]) -> ModelNames:
    each = [(config, model) for config in configs for model in config.models]
    exact = {model.name for _, model in each}
    models: dict[str, tuple[ProviderConfig, ModelConfig]] = {}
    others: dict[str, str] = {}
    for config, model in each:
        whole = f"{config.name}/{model.name}"
        if model.name not in models:
            models[model.name] = config, model
            if whole not in exact:
                others[whole] = model.name
        elif whole not in exact:
            models[whole] = config, model
    return ModelNames(models, others)
