"""The settings: what each may be, and what is told about those that may not.

Longer than other modules: there are many, and each can be wrong in its own way.
"""

from dataclasses import fields
from pathlib import Path

import pytest

from llm_service.adapters.providers.openai_api import OPENAI_URL
from llm_service.adapters.providers.proxies import Proxy
from llm_service.bootstrap.redis import namespace_of
from llm_service.bootstrap.setting_reader import declared
from llm_service.bootstrap.setting_types import Secret
from llm_service.bootstrap.settings import LOOPBACK_HOSTS, Settings, SettingsError, is_loopback


def faults(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(environ)
    return raised.value.faults


def test_defaults() -> None:
    settings = Settings.from_env({})
    assert (settings.host, settings.port, settings.openai_model, settings.env) == (
        "127.0.0.1",
        8000,
        "gpt-4o-mini",
        "dev",
    )
    assert settings.allowed_models == ("gpt-4o-mini",)
    assert settings.chosen_provider == "echo"
    assert settings.refusals() == []
    assert Settings() == settings


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "x", "integer between 1 and 65,535"),
        ("PORT", "0", "integer"),
        ("PORT", "8_000", "integer"),
        ("APP_CACHE_TTL_S", "nan", "number between"),
        ("APP_CACHE_TTL_S", "inf", "number between"),
        ("APP_DEADLINE_S", "-1", "number between"),
        ("APP_PROVIDER", "claude", "one of: auto, openai, echo"),
        ("APP_ENV", "production", "one of: dev, prod"),
        ("APP_LOG_LEVEL", "loud", "one of"),
        ("APP_MODELS", "a,b", "default model"),
        ("APP_MODELS", "a>gpt-4o-mini", "default model"),
        ("APP_MODELS", "gpt-4o-mini>", "no name before or after"),
        ("APP_MODELS", "gpt-4o-mini, a>b>a", "names a model twice"),
        ("APP_MODELS", "gpt-4o-mini>a, gpt-4o-mini", "two lists that begin with 'gpt-4o-mini'"),
        ("OPENAI_MODEL", "a>b", "APP_MODELS names its fallbacks"),
        ("APP_NAME", "x" * 101, "at most 100"),
        ("APP_NAME", "a\x1b[2J", "printable"),
        ("OPENAI_API_KEY", "schl\u00fcssel", "ASCII"),
        ("OPENAI_API_KEY_FILE", "/does/not/exist", "cannot be read"),
        ("OPENAI_BASE_URL", "ftp://x", "http"),
        ("OPENAI_BASE_URL", "file:///etc/passwd", "http"),
        ("OPENAI_BASE_URL", "http://user:pass@x/v1", "without user"),
        ("OPENAI_BASE_URL", "http://good#@evil", "#"),
        ("OPENAI_BASE_URL", "http://x:99999/v1", "http"),
        ("OPENAI_BASE_URL", "localhost:1234", "http"),
        ("DATABASE_URL", "postgresql://x", "must name the database"),
        ("DATABASE_URL", "sqlite://", "sqlite:///path"),
        ("DATABASE_URL", "mysql://x", "sqlite:///path"),
        ("APP_AUTH", "none", "one of: auto, required"),
        ("SECRET_KEY", "short", "at least 32"),
        ("SECRET_KEY", "dev-secret-key-change-me-in-production", "not a value from an example"),
        ("SECRET_KEY", "your-secret-key-goes-here-please-now", "not a value from an example"),
        ("SECRET_KEY", "a" * 64, "nobody can guess"),
        ("SECRET_KEY_FILE", "/does/not/exist", "cannot be read"),
        ("APP_TRUSTED_HOSTS", ",", "separated by commas"),
        ("APP_BUDGET_USD_DAY", "-1", "US dollars between 0 and 1,000,000"),
        ("APP_BUDGET_USD_DAY", "0.1234567", "at most 6 decimals"),
        ("APP_ABANDON_GRACE_S", "soon", "number between 0 and 86,400"),
        ("APP_DATA_DIR", "var?mode=ro", "without ?, # and %"),
        ("REDIS_URL", "localhost:6379", "must begin with redis://"),
        ("REDIS_URL", "redis://localhost?socket_timeout=9", "has the option 'socket_timeout'"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: str, words: str) -> None:
    (fault,) = faults({name: value})
    assert fault.startswith(f"{name}: ")
    assert words in fault


def test_all_faults_at_once() -> None:
    found = faults({"PORT": "x", "APP_ENV": "y", "APP_CACHE_SCOPE": "z"})
    assert [fault.partition(":")[0] for fault in found] == ["PORT", "APP_ENV", "APP_CACHE_SCOPE"]


def test_a_secret_from_a_file_is_shown_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-canary-123\n")
    settings = Settings.from_env({"OPENAI_API_KEY_FILE": str(path)})
    assert settings.openai_api_key == Secret("sk-canary-123")
    assert settings.chosen_provider == "openai"
    assert "canary" not in repr(settings)
    assert settings.secrets() == ["sk-canary-123"]
    assert "not both" in faults({"OPENAI_API_KEY": "x", "OPENAI_API_KEY_FILE": str(path)})[0]


def test_the_password_of_redis_is_shown_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("redis://user:canary%2Dword@localhost:6379/0\n")
    settings = Settings.from_env({"REDIS_URL_FILE": str(path)})
    assert settings.redis_url == Secret("redis://user:canary%2Dword@localhost:6379/0")
    assert "canary" not in repr(settings)
    assert settings.secrets() == ["redis://user:canary%2Dword@localhost:6379/0", "canary-word"]
    assert "canary" not in faults({"REDIS_URL": "redis://user:canary@localhost:x"})[0]


def test_services_with_different_databases_share_nothing_in_redis(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    def namespace(path: str) -> str:
        return namespace_of(Settings.from_env({"DATABASE_URL": f"sqlite:///{tmp_path}/{path}"}))

    assert namespace("a.db") == namespace("link/a.db") != namespace("b.db")


def test_several_workers_without_redis_are_told_what_they_do_not_share() -> None:
    (warning,) = Settings.from_env({"WEB_CONCURRENCY": "2"}).warnings
    assert warning.startswith("REDIS_URL: is not set: each of the 2 workers has its own cache")
    assert Settings.from_env({"WEB_CONCURRENCY": "2", "REDIS_URL": "redis://localhost"}).warnings == ()
    assert Settings.from_env({}).warnings == ()


OPENAI = {"OPENAI_API_KEY": "sk-x"}


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({**OPENAI, "HTTPS_PROXY": "http://a:1"}, Proxy("a", 1)),
        ({**OPENAI, "https_proxy": "http://b:2", "HTTPS_PROXY": "http://a:1"}, Proxy("b", 2)),
        ({**OPENAI, "https_proxy": "", "HTTPS_PROXY": "http://a:1"}, None),
        ({**OPENAI, "all_proxy": "http://a:1"}, Proxy("a", 1)),
        ({**OPENAI, "HTTPS_PROXY": "http://a:1", "no_proxy": "api.openai.com"}, None),
        ({**OPENAI, "HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, None),
        ({**OPENAI, "HTTPS_PROXY": "http://a:1", "NO_PROXY": "x" * 50_000}, Proxy("a", 1)),
        ({"OPENAI_BASE_URL": "http://10.0.0.1/v1", "HTTP_PROXY": "a:1", "HTTPS_PROXY": "b:2"}, Proxy("a", 1)),
        ({"OPENAI_BASE_URL": "https://10.0.0.1/v1", "HTTP_PROXY": "a:1", "HTTPS_PROXY": "b:2"}, Proxy("b", 2)),
        ({"HTTPS_PROXY": "http://a:1"}, None),
    ],
)
def test_the_proxy_to_the_provider(environ: dict[str, str], proxy: Proxy | None) -> None:
    assert Settings.from_env(environ).proxy == proxy


def test_without_a_url_the_provider_is_where_the_sdk_looks_for_it() -> None:
    import openai

    assert str(openai.OpenAI(api_key="x").base_url) == f"{OPENAI_URL}/"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "url",
    ["socks5://ann:canary@proxy:1080", "https://ann:canary@proxy:3128", "http://ann:canary", "http://\xe9:canary@a"],
)
def test_a_wrong_proxy_is_a_fault_where_it_is_used(name: str, url: str) -> None:
    found = faults({**OPENAI, "PORT": "x", name: url})
    assert [fault.partition(":")[0] for fault in found] == ["PORT", name.upper()]
    assert "must be the URL of an HTTP proxy" in found[1]
    assert "canary" not in found[1]
    for unused in (
        {name: url},
        {**OPENAI, name: url, "NO_PROXY": "*"},
        {"OPENAI_BASE_URL": "http://a", "HTTPS_PROXY": url},
    ):
        assert Settings.from_env(unused).proxy is None


def test_the_password_of_a_proxy_is_shown_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    path.write_text("http://ann:canary-123@proxy:3128\n")
    settings = Settings.from_env({**OPENAI, "HTTPS_PROXY_FILE": str(path)})
    assert settings.proxy is not None
    assert settings.proxy.headers
    assert "canary" not in repr(settings)
    assert settings.secrets()[:2] == ["sk-x", "canary-123"]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=9000\nAPP_NAME='From the file'\nOPENAI_API_KEY=x\nhttps_proxy=file:1\n")
    settings = Settings.load({"PORT": "9001", "HTTPS_PROXY": "environment:1"}, dotenv)
    assert settings.proxy == Proxy("environment", 1)
    assert (settings.port, settings.name) == (9001, "From the file")


def test_an_unknown_name_is_a_fault_in_the_file_and_a_warning_in_the_environment(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("APP_NMAE=x\n")
    with pytest.raises(SettingsError, match="APP_NMAE: is not a setting"):
        Settings.load({}, dotenv)
    assert Settings.load({"APP_NMAE": "x", "PATH": "/"}, tmp_path / "none").warnings == (
        "APP_NMAE: is not a setting of this service",
    )


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"APP_ENV": "prod"}, "never uses the echo"),
        ({"APP_PROVIDER": "openai"}, "needs it"),
    ],
)
def test_what_a_server_must_not_start_with(environ: dict[str, str], words: str) -> None:
    (refusal,) = Settings.from_env(environ).refusals()
    assert words in refusal


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, None),
        ({"HOST": "localhost"}, None),
        ({"HOST": "0.0.0.0"}, "HOST: 0.0.0.0 is not a loopback address"),
        ({"HOST": "::"}, "HOST: :: is not a loopback address"),
        ({"HOST": "192.168.1.5"}, "HOST: 192.168.1.5 is not a loopback address"),
        ({"APP_AUTH": "required"}, "APP_AUTH: required"),
        ({"APP_AUTH": "auto", "HOST": "example.org"}, "HOST: example.org is not a loopback address"),
    ],
)
def test_when_a_key_is_needed(environ: dict[str, str], reason: str | None) -> None:
    assert Settings.from_env(environ).needs_key == reason


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True),
                                                ("", False), ("example.org", False), ("127.0.0.1.evil.com", False)])  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_providers_file_stands_for_the_settings_of_one_provider() -> None:
    given = {"OPENAI_BASE_URL": "http://x/v1", "APP_PROVIDER": "echo", "APP_MODELS": "a,b", "HTTPS_PROXY": "socks5://x"}
    settings = Settings.from_env({**given, "APP_PROVIDERS_FILE": "providers.yml", "APP_ENV": "prod"})
    assert settings.warnings == (
        "OPENAI_BASE_URL: is ignored, because APP_PROVIDERS_FILE is set",
        "APP_PROVIDER: is ignored, because APP_PROVIDERS_FILE is set",
    )
    assert (settings.refusals(), settings.proxy, settings.model_is_given) == ([], None, False)
    assert Settings.from_env({"OPENAI_MODEL": "a"}).model_is_given
    assert Settings.from_env({**given, "APP_MODELS": "gpt-4o-mini"}).warnings == ()


def test_the_proxy_to_any_server() -> None:
    settings = Settings.from_env(
        {"HTTP_PROXY": f"socks5://ann:{'canary'}@a:1", "HTTPS_PROXY": "http://b:2", "NO_PROXY": "c"}
    )
    assert settings.proxy_to("https://x/v1") == Proxy("b", 2)
    assert settings.proxy_to("http://c/v1") is None
    with pytest.raises(ValueError, match=r"^HTTP_PROXY must be the URL of an HTTP proxy") as raised:
        settings.proxy_to("http://x/v1")
    assert "canary" not in str(raised.value)


def test_all_variables_are_kept_for_the_providers_file_and_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SOME_KEY=canary-1\nOTHER_KEY=canary-2\n")
    settings = Settings.load({"OTHER_KEY": "canary-3"}, tmp_path / ".env")
    assert (settings.environ["SOME_KEY"], settings.environ["OTHER_KEY"]) == ("canary-1", "canary-3")
    assert "canary" not in repr(settings)


def test_every_setting_is_documented(request: pytest.FixtureRequest) -> None:
    root = request.config.rootpath
    page, example = (root / "docs/configuration.md").read_text(), (root / ".env.example").read_text()
    names = [name for setting in declared(Settings).values() for name in setting.names]
    assert len(names) == len(set(names)) >= 38
    assert [name for name in names if f"`{name}`" not in page] == []
    assert [name for name in names if f"# {name}=" not in example] == []


def test_every_setting_is_read_and_every_default_is_allowed() -> None:
    """Each field but what was found while reading is a setting, and its default, written as text, is read back as it is."""
    settings = declared(Settings)
    assert {field.name for field in fields(Settings)} - set(settings) == {"warnings", "environ"}
    for attribute, setting in settings.items():
        assert getattr(Settings(), attribute) == setting.default
        if setting.default not in (None, ()):
            text = ",".join(setting.default) if isinstance(setting.default, tuple) else str(setting.default)
            assert setting.kind.parse(text) == setting.default, setting.name


def test_never_and_both_cases() -> None:
    settings = Settings.from_env(
        {"APP_ABANDON_GRACE_S": "Never", "APP_LOG_LEVEL": "debug", "APP_TRUSTED_HOSTS": "a, b,a"}
    )
    assert (settings.abandon_grace_s, settings.log_level, settings.trusted_hosts) == (None, "DEBUG", ("a", "b"))
    assert Settings.from_env({"APP_TRUSTED_HOSTS": " "}).trusted_hosts == LOOPBACK_HOSTS


def test_the_example_file_holds_the_defaults(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Every line of it, without the #, is accepted and changes nothing but the provider's address and key."""
    lines = (request.config.rootpath / ".env.example").read_text().splitlines()
    shown = [line[2:] for line in lines if line.startswith("# ") and "=" in line and "_FILE=/" not in line]
    dotenv = tmp_path / ".env"
    dotenv.write_text("\n".join(line for line in shown if not line.startswith("OPENAI_BASE_URL")))
    loaded = Settings.load({}, dotenv)
    assert (loaded.allowed_models, loaded.trusted_hosts) == (Settings().allowed_models, Settings().trusted_hosts)
    assert loaded.refusals() == []


def test_lists_of_models_are_read_without_their_blanks() -> None:
    settings = Settings.from_env({"OPENAI_MODEL": "a", "APP_MODELS": " a > local/b:7b , c "})
    assert settings.allowed_models == ("a>local/b:7b", "c")
