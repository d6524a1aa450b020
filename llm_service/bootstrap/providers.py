"""Makes the providers: the one of the variables `OPENAI_*`, or those of the providers file."""

from collections.abc import Callable, Mapping
from pathlib import Path

from llm_service.adapters.observability.logs import LogReporter, mask
from llm_service.adapters.providers.configured.config import Connection, ModelConfig, ProviderConfig
from llm_service.adapters.providers.configured.file import ProvidersFile
from llm_service.adapters.providers.configured.model_names import ModelNames, model_names
from llm_service.adapters.providers.configured.reader import Surroundings
from llm_service.adapters.providers.echo import NAME as ECHO
from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.providers.names import system_addresses
from llm_service.adapters.providers.openai_api import NAME as OPENAI
from llm_service.adapters.providers.openai_api import is_openai
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.prices import ModelPrices, ProviderPrices
from llm_service.adapters.providers.registry import Managed, ProviderRegistry, ProviderSet
from llm_service.adapters.providers.retry import ResilientProvider
from llm_service.adapters.providers.wires import WIRES
from llm_service.bootstrap.errors import StartError
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings
from llm_service.core.file_faults import FileFaults
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.ports import Candidate, Provider
from llm_service.core.model_chain import NEXT, chain_of


def build_registry(settings: Settings, prices: ModelPrices, *, kept: Path | None = None) -> ProviderRegistry:
    """`prices` get those of the providers. `kept`: the file with the last good providers, used if the file has faults.

    Raises `StartError`.
    """
    if settings.providers_file is None:
        return ProviderRegistry(_single(settings), prices)
    source, reporter = FileSource(settings, settings.providers_file, kept), LogReporter()
    try:
        first = source.first()
    except FileFaults as error:
        last_good = source.last_good()
        if last_good is None:
            raise _start_error(error) from error
        reporter.providers_refused(error.faults)
        return ProviderRegistry(last_good, prices, source, reporter, error.faults)
    try:
        source.save_last_good()
    except OSError as error:
        reporter.providers_not_kept(error)
    return ProviderRegistry(first, prices, source, reporter)


def allowed_models(settings: Settings) -> AllowedModels:
    """Only the list of models.

    Raises `StartError`.
    """
    if settings.providers_file is None:
        stand_in = ECHO if settings.chosen_provider == ECHO else None
        return AllowedModels(settings.openai_model, settings.allowed_models, stand_in)
    return build_registry(settings, ModelPrices({}, {})).current


def read_configs(settings: Settings) -> tuple[ProviderConfig, ...]:
    """What is configured of each provider.

    Raises `StartError` with every fault.
    """
    if settings.providers_file is None:
        return (_single_config(settings),)
    source = FileSource(settings, settings.providers_file, None)
    try:
        source.first()
    except FileFaults as error:
        raise _start_error(error) from error
    return source.configs


class FileSource:
    """Satisfies `ProviderSource`: reads the file, and makes its providers."""

    def __init__(self, settings: Settings, path: Path, kept: Path | None) -> None:
        self._settings = settings
        self._file = ProvidersFile(path, lambda read: _surroundings(settings, read), kept=kept)
        self._revision = 0
        self.configs: tuple[ProviderConfig, ...] = ()

    def changed(self) -> bool:
        return self._file.changed()

    def first(self) -> ProviderSet:
        """Raises `FileFaults`."""
        return self._made(self._file.load(), {})

    def last_good(self) -> ProviderSet | None:
        configs = self._file.load_last_good()
        try:
            return None if configs is None else self._made(configs, {})
        except FileFaults:
            return None  # other settings than those it was saved with

    def load(self, current: ProviderSet) -> ProviderSet:
        """Satisfies `ProviderSource`. A provider whose connection is as before keeps its object, and what that knows."""
        known = {managed.connection.name: managed for managed in current.providers}
        configs = self._file.load()
        same = [
            config.name
            for config in configs
            if config.name in known and known[config.name].connection == config.connection
        ]
        return self._made(configs, {name: known[name].provider for name in same})

    def save_last_good(self) -> None:
        self._file.save_last_good()

    def _made(self, configs: tuple[ProviderConfig, ...], kept: Mapping[str, ResilientProvider]) -> ProviderSet:
        """`kept`: providers that exist already, by name."""
        names = model_names(configs)
        models = self._allowed(names)
        mask(secret for config in configs for secret in config.connection.secrets())
        providers = {config.name: kept.get(config.name) or _managed(config.connection) for config in configs}
        candidates = {
            name: Candidate(name, providers[config.name], model.sent_as, model.context_tokens)
            for name, (config, model) in names.models.items()
        }
        self.configs = configs
        shown = tuple(
            Managed(config.connection, providers[config.name], _names_of(config, names)) for config in configs
        )
        return ProviderSet(
            shown,
            {config.name: _prices_of(config) for config in configs},
            models,
            {**candidates, **{name: candidates[own] for name, own in names.others.items()}},
        )

    def _allowed(self, names: ModelNames) -> AllowedModels:
        """Raises `FileFaults` for models that the settings name and no provider has."""
        settings = self._settings
        wanted = [("APP_MODELS", name) for text in settings.models for name in chain_of(text)]
        if settings.model_is_given:
            wanted.append(("OPENAI_MODEL", settings.openai_model))
        lost = dict.fromkeys(each for each in wanted if not names.find(each[1]))
        missing = [f"has no model {name}, which {setting} names" for setting, name in lost]
        found = [_with_own_names(text, names) for text in settings.models]
        allowed = tuple(dict.fromkeys(found)) or tuple(names.models)
        first = [chain_of(text)[0] for text in allowed]
        default = names.find(settings.openai_model) or ""
        if default not in first and not settings.model_is_given:
            default = first[0]
        if not missing and (twice := next((name for name in first if first.count(name) > 1), None)):
            missing = [f"and the settings do not fit: APP_MODELS has two lists that begin with the model {twice}"]
        if not missing and default not in first:
            missing = [f"and the settings do not fit: APP_MODELS does not contain the default model {default}"]
        if missing:
            raise self._file.faults(missing)
        self._revision += 1
        return AllowedModels(default, allowed, names=names.others, revision=self._revision)


def _with_own_names(text: str, names: ModelNames) -> str:
    """A list of models by their names in rows and answers. Two names of one model count once."""
    return NEXT.join(dict.fromkeys(names.find(name) or name for name in chain_of(text)))


def _names_of(config: ProviderConfig, names: ModelNames) -> dict[str, str]:
    return {name: model.sent_as for name, (owner, model) in names.models.items() if owner is config}


def _prices_of(config: ProviderConfig) -> ProviderPrices:
    own = {model.name: model.price for model in config.models if model.price is not None}
    return ProviderPrices(own, free=config.free, public=config.public_prices)


def _surroundings(settings: Settings, read_file: Callable[[Path], str]) -> Surroundings:
    return Surroundings(
        environ=settings.environ,
        read_file=read_file,
        proxy_for=settings.proxy_to,
        slots=settings.upstream_slots,
        idle_timeout_s=settings.idle_timeout_s,
    )


def _start_error(error: FileFaults) -> StartError:
    return StartError([f"APP_PROVIDERS_FILE: {fault}" for fault in error.faults], EXIT_CONFIG)


def _single(settings: Settings) -> ProviderSet:
    """Every model is the same provider's."""
    config = _single_config(settings)
    connection = config.connection
    provider = _managed(connection)
    models = allowed_models(settings)
    every = dict.fromkeys(name for text in models.allowed for name in chain_of(text))
    shown = (Managed(connection, provider, {name: name for name in every}),)
    return ProviderSet(shown, {config.name: _prices_of(config)}, models, {}, any_model=provider)


def _single_config(settings: Settings) -> ProviderConfig:
    """Of the variables `OPENAI_*`.

    Raises `StartError` if no provider is configured.
    """
    chosen = settings.chosen_provider
    if chosen is None:
        raise StartError(settings.refusals(), EXIT_CONFIG)
    calls_openai, key = chosen == OPENAI, settings.openai_api_key
    connection = Connection(
        name=chosen,
        kind="responses" if calls_openai else ECHO,
        slots=settings.upstream_slots,
        idle_timeout_s=settings.idle_timeout_s,
        base_url=settings.openai_base_url if calls_openai else None,
        api_key=key.value if key and calls_openai else None,
        proxy=settings.proxy,
    )
    every = dict.fromkeys(name for text in settings.allowed_models for name in chain_of(text))
    models = tuple(ModelConfig(name, name, 0) for name in every)
    return ProviderConfig(connection, models, public_prices=calls_openai and is_openai(settings.openai_base_url))


def _managed(connection: Connection) -> ResilientProvider:
    return ResilientProvider(_provider(connection), slots=connection.slots, breaker=connection.breaker)


def _provider(connection: Connection) -> Provider:
    if connection.kind == ECHO:
        return EchoProvider(name=connection.name)
    return ApiProvider(
        WIRES[connection.kind](),
        name=connection.name,
        api_key=connection.api_key,
        base_url=connection.base_url,
        idle_timeout_s=connection.idle_timeout_s,
        first_output_timeout_s=connection.first_output_timeout_s,
        proxy=connection.proxy,
        resolve=system_addresses,
        quirks=connection.quirks,
        model_quirks=connection.model_quirks,
        sdk_variables=connection.sdk_variables,
    )
