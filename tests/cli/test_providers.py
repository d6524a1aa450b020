"""`flask providers check` against servers that list their models, and others."""

import subprocess
from pathlib import Path

from tests.support.command_line import flask
from tests.support.constants import KEY_CANARY
from tests.support.http_proxy import FORBIDDEN, HttpProxy
from tests.support.processes import free_port
from tests.support.providers import ListingUpstream, write_providers
from tests.support.upstream import Upstream


def check(folder: Path, text: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = write_providers(folder, text)
    done = flask(folder, "providers", "check", APP_PROVIDERS_FILE=str(path), KEY=KEY_CANARY, **environ)
    assert KEY_CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_what_fits(tmp_path: Path) -> None:
    with ListingUpstream("m", "qwen3:latest", "models/gemini", key=KEY_CANARY) as listing, Upstream() as silent:
        done = check(
            tmp_path,
            f"""\
            providers:
              all:    {{kind: chat, base_url: "{listing.base_url}", api_key_env: KEY, models: {{x: {{as: m}}, qwen3: , gemini: }}}}
              cloud:  {{kind: azure, base_url: "{listing.base_url}", api_key_env: KEY, models: {{x: {{as: my-deployment}}}}}}
              silent: {{kind: responses, base_url: "{silent.base_url}", models: [anything]}}
              none:   {{kind: echo}}
            """,
        )
        assert done.stdout.splitlines() == [
            "all     chat       ok  3 of 3 models found",
            "cloud   azure      ok  answers; deployments are not listed, so the models were not checked",
            "silent  responses  ok  answers, but does not list its models",
            "none    echo       ok  calls no model",
        ]
        assert done.returncode == 0
        assert [call["path"] for call in (*listing.calls, *silent.calls)] == ["/v1/models"] * 3, "no model was called"
        assert {call["method"] for call in listing.calls} == {"GET"}


def test_what_does_not_fit(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "lost_v1.prompty").write_text(
        "---\nname: T\nmodel: {id: 'm1 > nowhere'}\ninputs:\n  - {name: input, kind: string, required: true}\n---\nuser:\n{{ input }}\n"
    )
    with (
        ListingUpstream(*(f"m{number}" for number in range(1, 11))) as listing,
        ListingUpstream("m1", key="another key") as locked,
        ListingUpstream(whole='{"models": []}') as strange,
        ListingUpstream("m1", listed=False) as unlisted,
    ):
        done = check(
            tmp_path,
            f"""\
            providers:
              missing: {{kind: chat, base_url: "{listing.base_url}", models: [m1, other]}}
              locked:  {{kind: chat, base_url: "{locked.base_url}", api_key_env: KEY, models: [m1]}}
              down:    {{kind: chat, base_url: "http://127.0.0.1:{free_port()}/v1", models: [m1]}}
              strange: {{kind: chat, base_url: "{strange.base_url}", models: [m1]}}
              path:    {{kind: chat, base_url: "{unlisted.base_url.removesuffix("/v1")}", models: [m1]}}
            """,
            APP_PROMPTS_DIR=str(prompts),
        )
    assert done.stdout.splitlines() == [
        "missing  chat  FAIL  1 of 2 models found",
        "  not listed: other",
        "  it lists: m1, m10, m2, m3, m4, m5, m6, m7, 2 more",
        "locked   chat  FAIL  upstream-auth",
        "  The model provider rejected the service's API key.",
        "down     chat  FAIL  upstream-unreachable",
        "  The model provider cannot be reached.",
        "strange  chat  FAIL  upstream-invalid-response",
        "  The address answered, but not with a list of models: is it that of an API?",
        "path     chat  ok    answers, but does not list its models",
        "  its address does not end in /v1, as most do: does it lead to the API?",
        "FAIL lost_v1.prompty: no provider has its model nowhere",
    ]
    assert done.returncode == 1


def test_every_fault_of_the_file(tmp_path: Path) -> None:
    done = check(tmp_path, "providers:\n  a: {kind: echo, modles: [x]}\n  b: {kind: claude}\n")
    path = tmp_path / "providers.yml"
    assert (done.returncode, done.stdout) == (78, "")
    assert [line.partition(" is")[0].partition(" must")[0] for line in done.stderr.splitlines()] == [
        f"APP_PROVIDERS_FILE: {path}:2: a.modles",
        f"APP_PROVIDERS_FILE: {path}:3: b.kind",
        f"APP_PROVIDERS_FILE: {path}:3: b.models",
    ]


def test_openai_is_asked_at_its_own_address_whatever_the_variables_say(tmp_path: Path) -> None:
    with HttpProxy(answer=lambda client: client.sendall(FORBIDDEN)) as proxy:
        text = "providers: {openai: {kind: responses, api_key_env: KEY, models: [m]}}"
        done = check(tmp_path, text, HTTPS_PROXY=proxy.url(), OPENAI_BASE_URL="http://127.0.0.1:1/v1")
    assert [head.splitlines()[0] for head in proxy.heads] == ["CONNECT api.openai.com:443 HTTP/1.1"]
    assert (done.returncode, "The proxy refused" in done.stdout) == (1, True)


def test_the_one_provider_of_the_variables(tmp_path: Path) -> None:
    with ListingUpstream("m1") as listing:
        environ = {"OPENAI_BASE_URL": listing.base_url, "OPENAI_API_KEY": KEY_CANARY}
        done = flask(tmp_path, "providers", "check", OPENAI_MODEL="m1", **environ)
        assert (done.returncode, done.stdout) == (0, "openai  responses  ok  1 of 1 models found\n")
        assert flask(tmp_path, "providers", "check", OPENAI_MODEL="m2", **environ).returncode == 1
    assert flask(tmp_path, "providers", "check").stdout == "echo  echo  ok  calls no model\n"
    assert flask(tmp_path, "providers", "check", APP_ENV="prod").returncode == 78
