"""The providers file: what it takes, and for each fault the line that it names.

Longer than other modules: its faults are one table.
"""

import os
import re
import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from llm_service.adapters.providers.circuit_breaker import BreakerRules
from llm_service.adapters.providers.configured.config import ProviderConfig
from llm_service.adapters.providers.configured.file import MAX_FILE_BYTES, ProvidersFile
from llm_service.adapters.providers.configured.model_names import model_names
from llm_service.adapters.providers.configured.reader import Surroundings
from llm_service.adapters.providers.openai_api import OPENAI_URL
from llm_service.adapters.providers.openai_api.quirks import Quirks
from llm_service.adapters.providers.proxies import Proxy, ProxyUrl, parse_proxy
from llm_service.core.file_faults import FileFaults
from llm_service.core.usage.tokens import Usage
from tests.support.constants import KEY_CANARY, ROOT
from tests.support.providers import write_providers

ENVIRON = {"OPENAI_API_KEY": KEY_CANARY, "EMPTY": "", "NOT_ASCII": "schl\u00fcssel"}


def around(read: Callable[[Path], str], environ: dict[str, str] | None = None) -> Surroundings:
    def proxy_for(url: str) -> Proxy | None:
        return parse_proxy(ProxyUrl(f"socks5://ann:{KEY_CANARY}@proxy:1")) if "behind-a-proxy" in url else None

    return Surroundings(ENVIRON if environ is None else environ, read, proxy_for, slots=500, idle_timeout_s=30)


def read(folder: Path, text: str) -> tuple[ProviderConfig, ...]:
    return ProvidersFile(write_providers(folder, text), around).load()


def faults(folder: Path, text: str) -> list[str]:
    """Each as `LINE: message`."""
    with pytest.raises(FileFaults) as raised:
        read(folder, text)
    assert KEY_CANARY not in str(raised.value)
    return [str(fault).removeprefix(str(folder / "providers.yml")).removeprefix(":") for fault in raised.value.faults]


def test_every_kind_with_everything_that_a_provider_can_say(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "azure").write_text("azure-key-1\n")
    openai, azure, local, old, none = read(
        tmp_path,
        """\
        providers:
          openai:   {kind: responses, api_key_env: OPENAI_API_KEY, models: [gpt-4o-mini, gpt-5-mini]}
          azure:
            kind: azure
            base_url: https://name.openai.azure.com/openai/v1/
            api_key_file: keys/azure
            models: {gpt-4o-mini: {as: my-deployment}}
            public_prices: true
          local:    {kind: responses, base_url: "http://127.0.0.1:11434/v1", free: true, strip_think: true,
                     models: [qwen3, "gpt-oss:20b"]}
          old:
            kind: chat
            base_url: http://127.0.0.1:8081/v1
            schema_in_prompt: true
            slots: 8
            idle_timeout_s: 5
            first_output_timeout_s: 2.5
            breaker: {min_attempts: 3, open_s: 1}
            models:
              mistral: {context: 32768, price: {input: "0.10", output: "0.30"}}
              plain:
              thinker: {strip_think: true, schema_in_prompt: false}
          none:     {kind: echo}
        """,
    )
    assert [model.name for model in openai.models] == ["gpt-4o-mini", "gpt-5-mini"]
    assert (openai.connection.base_url, openai.connection.api_key, openai.public_prices) == (None, KEY_CANARY, True)
    assert (openai.connection.slots, openai.connection.idle_timeout_s) == (500, 30)
    assert (azure.connection.base_url, azure.connection.api_key) == (
        "https://name.openai.azure.com/openai/v1",
        "azure-key-1",
    )
    assert ([(model.name, model.sent_as) for model in azure.models], azure.public_prices) == (
        [("gpt-4o-mini", "my-deployment")],
        True,
    )
    assert [config.connection.sdk_variables for config in (openai, azure, local, old)] == [True, False, False, False]
    assert (local.connection.quirks, local.connection.api_key, local.public_prices) == (
        Quirks(strip_think=True),
        None,
        False,
    )
    assert (local.free, old.free, {model.price for model in local.models}) == (True, False, {None})
    connection = old.connection
    assert (connection.kind, connection.slots, connection.idle_timeout_s, connection.first_output_timeout_s) == (
        "chat",
        8,
        5,
        2.5,
    )
    assert connection.breaker == BreakerRules(min_attempts=3, open_s=1)
    assert connection.quirks == Quirks(schema_in_prompt=True)
    assert connection.model_quirks == {"thinker": Quirks(strip_think=True)}
    mistral, plain, thinker = old.models
    assert mistral.price
    assert (mistral.context_tokens, mistral.price.cost(Usage(1_000_000, 1_000_000))) == (32768, Decimal("0.4"))
    assert mistral.price.version.startswith("providers.yml ")
    assert (plain.price, plain.context_tokens, thinker.price) == (None, None, None)
    assert (none.connection.kind, [model.name for model in none.models]) == ("echo", ["echo"])
    assert KEY_CANARY not in repr(openai)


def test_the_example_of_the_page_is_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "azure.key").write_text("azure-key-1")
    example = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/providers.md").read_text(), re.DOTALL)
    assert example
    assert [config.name for config in read(tmp_path, example[1])] == ["openai", "azure", "local", "old"]


def test_a_key_in_a_file_that_the_environment_names(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    path = write_providers(tmp_path, "providers: {a: {kind: responses, api_key_env: KEY, models: [x]}}")
    environ = {"KEY_FILE": str(tmp_path / "key")}
    (config,) = ProvidersFile(path, lambda read_file: around(read_file, environ)).load()
    assert config.connection.api_key == "from-a-file"


def test_all_faults_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = f"""\
    providers:
      openai:
        kind: responses
        api_key: {KEY_CANARY}
        modles: [a]
        models: [a, a, 4]
      openai:
        kind: echo
      "bad name!":
        kind: claude
        base_url: ftp://user:{KEY_CANARY}@x
        models: {{}}
        slots: 0
      local:
        kind: chat
        base_url: http://127.0.0.1:1/v1
        api_key_env: {KEY_CANARY}
        strip_think: maybe
        idle_timeout_s: -1
        first_output_timeout_s: soon
        breaker: {{min_attempts: none, failed: 1}}
        models:
          b: {{as: 3, context: 0, price: {{input: -1, ouput: 1}}}}
          c: text
      empty:
      azure: {{kind: azure, models: [x]}}
      echo: {{kind: echo, base_url: "http://x/v1"}}
    more: 1
    """
    found = faults(tmp_path, text)
    known = (
        "kind, base_url, api_key_env, api_key_file, models, slots, idle_timeout_s, first_output_timeout_s, breaker, free, "
        "public_prices, strip_think, schema_in_prompt, max_completion_tokens"
    )
    assert found == [
        "3: openai.api_key_env is missing: without base_url, OpenAI is called, which needs a key",
        "4: openai.api_key is not a supported key: name the variable (api_key_env) or the file (api_key_file) that has the "
        "key, and do not write it here",
        f"5: openai.modles is not a supported key: the keys are {known}",
        "6: openai.models: a appears twice",
        "6: openai.models must be names: put each in quotes",
        "7: openai appears twice",
        "10: the name of a provider must be 1 to 20 letters, digits, _, . and -",
        "10: this provider.kind must be one of: responses, chat, azure, echo",
        "11: this provider.base_url must be an http or https URL such as http://127.0.0.1:11434/v1, without user, ? or #",
        "12: this provider.models must be a list of names, or a mapping of names to options, and not empty",
        "13: this provider.slots must be an integer between 1 and 100,000",
        "17: local.api_key_env must be the name of an environment variable",
        "18: local.strip_think must be true or false",
        "19: local.idle_timeout_s must be a number between 0.1 and 86,400",
        "20: local.first_output_timeout_s must be a number between 0.1 and 86,400",
        "21: local.breaker.failed is not a supported key: the keys are min_attempts, failed_share, open_s",
        "21: local.breaker.min_attempts must be an integer between 1 and 1,000,000",
        "23: local.models.b.as must be printable text",
        "23: local.models.b.context must be an integer between 1 and 100,000,000",
        "23: local.models.b.price.ouput is not a supported key: the keys are input, cached_input, output",
        "23: local.models.b.price.input must be US dollars per million tokens: 0 to 10,000, with at most 6 decimals",
        "23: local.models.b.price.output is missing",
        "24: local.models.c must be a mapping",
        "25: empty must be a mapping",
        "26: azure.base_url is missing: such as https://NAME.openai.azure.com/openai/v1",
        "27: echo.base_url is not a supported key: the keys are kind, models, slots",
        "28: the file.more is not a supported key: the keys are providers",
    ]


ONE = "providers: {a: {kind: chat, base_url: 'http://x/v1', models: [m], %s}}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: is empty"),
        ("- a", "1: the file must be a mapping"),
        ("providers: {}", "1: providers must be a mapping with at least one provider"),
        ("other: 1", "1: the file.other is not a supported key"),
        ("providers:\n  a: [\n", "is not valid YAML"),
        ("providers: {a: &x {kind: echo}, b: *x}", "1: may not use an alias"),
        ("providers:\n  a: &x {kind: echo}\n  b: *x", "3: may not use an alias"),
        (ONE % "sk-canary-0123: x", "1: a key of a is not a supported key: the keys are"),
        ("providers: {a: {kind: echo, models: [2024-01-01]}}", "1: may not use a value of the type timestamp"),
        ("providers: {a: {models: [m]}}", "1: a.kind is missing"),
        (ONE % "api_key_env: MISSING", "1: a.api_key_env names a variable that is not set"),
        (ONE % "api_key_env: EMPTY", "1: a.api_key_env names a variable that is not set"),
        (ONE % "api_key_env: NOT_ASCII", "1: a.api_key_env leads to a key that is empty, or not printable ASCII"),
        (ONE % "api_key_file: nowhere", "1: a.api_key_file leads to a file that cannot be read (FileNotFoundError)"),
        (ONE % "api_key_file: .", "1: a.api_key_file leads to a file that is not a regular file"),
        (ONE % "api_key_file: providers.yml, api_key_env: OPENAI_API_KEY", "name only one of them"),
        (ONE % "free: true, public_prices: true", "1: a.public_prices contradicts free"),
        (ONE.replace("http://x/v1", "http://behind-a-proxy/v1") % "", "must be the URL of an HTTP proxy"),
        ("providers: {a: {kind: echo, models: ['a b']}}", "without blanks, commas and >"),
        ("providers: {a: {kind: echo, models: ['a>b']}}", "without blanks, commas and >"),
        (
            "providers: {a: {kind: echo, models: {m: {price: {input: 1, cached_input: 2, output: 1}}}}}",
            "more than input",
        ),
        ("providers: {a: {kind: echo, models: {m: {as: x}, n: {as: x, strip_think: true}}}}", "which has other quirks"),
        (
            "providers:\n  a: {kind: echo, models: [m]}\n  b: {kind: echo, models: [m]}\n  c: {kind: echo, models: [b/m]}",
            "3: b/m cannot be asked for: that is the name of another model, too",
        ),
    ],
)
def test_each_fault(tmp_path: Path, text: str, expected: str) -> None:
    found = faults(tmp_path, text)
    assert any(expected in fault for fault in found), found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xef\xbb\xbfproviders: {}", "1: begins with a byte order mark"),
        (b"providers:\n  \xff", "2: is not UTF-8"),
        (b"a\n\x00", "2: contains a NUL character"),
        (b"#" * (MAX_FILE_BYTES + 1), " is larger than 256 KiB"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "providers.yml"
    path.write_bytes(data)
    with pytest.raises(FileFaults) as raised:
        ProvidersFile(path, around).load()
    assert f"{path}:{expected}" in str(raised.value)


def test_a_missing_file_or_a_pipe_is_a_fault_and_nobody_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "providers.yml"
    with pytest.raises(FileFaults, match="cannot be read \\(FileNotFoundError\\)"):
        ProvidersFile(path, around).load()
    os.mkfifo(path)
    file = ProvidersFile(path, around)
    with pytest.raises(FileFaults, match="is not a regular file"):
        file.load()
    assert not file.changed()


TWO = """\
providers:
  first:  {kind: echo, models: [shared, only-first, org/model]}
  second: {kind: echo, models: [shared, only-second]}
  org:    {kind: echo, models: [model, shared]}
"""


def test_names_of_models(tmp_path: Path) -> None:
    names = model_names(read(tmp_path, TWO))
    assert {name: (config.name, model.name) for name, (config, model) in names.models.items()} == {
        "shared": ("first", "shared"),
        "only-first": ("first", "only-first"),
        "org/model": ("first", "org/model"),
        "second/shared": ("second", "shared"),
        "only-second": ("second", "only-second"),
        "model": ("org", "model"),
        "org/shared": ("org", "shared"),
    }
    assert names.find("first/shared") == "shared"
    assert names.find("second/only-second") == "only-second"
    assert names.find("org/model") == "org/model", "a model's own name wins over provider/model"
    assert [names.find(name) for name in ("third/shared", "first/only-second", "", "/", "shared/")] == [None] * 5


def test_changes_of_the_file_and_of_the_files_of_keys_are_noticed(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("key-1")
    text = "providers: {a: {kind: responses, api_key_file: key, models: [m]}}"
    path = write_providers(tmp_path, text)
    file = ProvidersFile(path, around)
    assert file.load()[0].connection.api_key == "key-1"
    assert not file.changed()
    times = path.stat()
    path.write_text(text.replace("[m]", "[n]"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.changed(), "of the same length and with the same time"
    assert file.load()[0].models[0].name == "n"
    key.write_text("key-2")
    assert file.changed()
    assert file.load()[0].connection.api_key == "key-2"
    key.unlink()
    assert file.changed()
    with pytest.raises(FileFaults):
        file.load()
    assert not file.changed(), "the same fault is told once"
    key.write_text("key-3")
    assert file.changed()
    assert file.load()[0].connection.api_key == "key-3"


def test_the_last_good_text_is_kept_without_keys_and_for_the_owner_alone(tmp_path: Path) -> None:
    text = "providers: {a: {kind: responses, api_key_env: OPENAI_API_KEY, models: [m]}}"
    path, kept = write_providers(tmp_path, text), tmp_path / "kept.yml"
    file = ProvidersFile(path, around, kept=kept)
    assert file.load_last_good() is None
    file.load()
    file.save_last_good()
    assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == (text, 0o600)
    path.write_text("broken")
    good = ProvidersFile(path, around, kept=kept).load_last_good()
    assert good
    assert good[0].connection.api_key == KEY_CANARY
    without_key = ProvidersFile(path, lambda read_file: around(read_file, {}), kept=kept)
    assert without_key.load_last_good() is None


def test_openai_by_its_own_address_is_openai(tmp_path: Path) -> None:
    text = f"providers: {{a: {{kind: responses, base_url: '{OPENAI_URL}', api_key_env: OPENAI_API_KEY, models: [m]}}}}"
    (config,) = read(tmp_path, text)
    assert (config.public_prices, config.connection.sdk_variables) == (True, True)
