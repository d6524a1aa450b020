"""Several providers: each answers its own models, by every name that a request may use.

Longer than other modules: all of it needs the same two servers.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import services_of
from llm_service.bootstrap.errors import StartError
from tests.support.clocks import until
from tests.support.constants import KEY_CANARY, OWN_PAGE
from tests.support.keys import bearer, make_key
from tests.support.logs import logged
from tests.support.providers import write_providers
from tests.support.requests import BODY, GENERATE
from tests.support.upstream import Upstream

MakeApp = Callable[..., Flask]
ONE_KEY, TWO_KEY = "one-canary-0123456789", "two-canary-0123456789"


@pytest.fixture(name="near", scope="module")
def _one() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(name="far", scope="module")
def _two() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(name="file")
def _file(tmp_path: Path, near: Upstream, far: Upstream) -> Path:
    (tmp_path / "two.key").write_text(TWO_KEY)
    return write_providers(
        tmp_path,
        f"""\
        providers:
          one:
            kind: responses
            base_url: {near.base_url}
            api_key_env: ONE_KEY
            models: {{shared: , org/alpha: , two/delta: , priced: {{price: {{input: 1, output: 0}}}}}}
          two:
            kind: chat
            base_url: {far.base_url}
            api_key_file: two.key
            free: true
            slots: 7
            breaker: {{min_attempts: 2}}
            models: {{shared: {{as: renamed}}, beta: {{}}, delta: , fault-401: , tokens-30-20: , failing: {{as: fault-500}}}}
          cloud:
            kind: azure
            base_url: {near.base_url}
            api_key_env: ONE_KEY
            models: {{gamma: {{as: my-deployment}}}}
          none: {{kind: echo}}
        """,
    )


@pytest.fixture(name="app")
def _app(make_app: MakeApp, file: Path, near: Upstream, far: Upstream) -> Flask:
    near.calls.clear()
    far.calls.clear()
    app = make_app(APP_PROVIDERS_FILE=str(file), ONE_KEY=ONE_KEY)
    services_of(app).warm()
    return app


def ask(client: FlaskClient, model: str | None, text: str = "Hello") -> Any:
    return client.post(GENERATE, json={**BODY, "input": text, "model": model}).get_json()


@pytest.mark.parametrize(
    ("asked", "shown", "provider", "sent"),
    [
        (None, "shared", "one", "shared"),
        ("shared", "shared", "one", "shared"),
        ("one/shared", "shared", "one", "shared"),
        ("two/shared", "two/shared", "two", "renamed"),
        ("org/alpha", "org/alpha", "one", "org/alpha"),
        ("one/org/alpha", "org/alpha", "one", "org/alpha"),
        ("beta", "beta", "two", "beta"),
        ("two/beta", "beta", "two", "beta"),
        ("two/delta", "two/delta", "one", "two/delta"),
        ("delta", "delta", "two", "delta"),
        ("gamma", "gamma", "cloud", "my-deployment"),
        ("cloud/gamma", "gamma", "cloud", "my-deployment"),
        ("echo", "echo", "none", None),
    ],
)
def test_each_provider_answers_its_models(
    client: FlaskClient, near: Upstream, far: Upstream, asked: str | None, shown: str, provider: str, sent: str | None
) -> None:
    answer = ask(client, asked)
    assert (answer.get("status"), answer.get("model")) == ("completed", shown), answer
    row = client.get(f"/api/v1/history/{answer['request_id']}").get_json()
    assert (row["model"], row["provider"]) == (shown, provider)
    calls = [(upstream, call) for upstream in (near, far) for call in upstream.calls]
    if sent is None:
        assert calls == []
        return
    ((upstream, call),) = calls
    assert (upstream is far, call["body"]["model"]) == (provider == "two", sent)
    assert call["path"] == ("/v1/chat/completions" if provider == "two" else "/v1/responses")
    assert call["headers"]["authorization"] == f"Bearer {TWO_KEY if provider == 'two' else ONE_KEY}"
    assert call["headers"].get("api-key") == (ONE_KEY if provider == "cloud" else None)


def test_names_of_the_same_model_share_an_answer_and_other_providers_have_their_own(
    client: FlaskClient, near: Upstream, far: Upstream
) -> None:
    assert [ask(client, name)["cached"] for name in ("shared", "one/shared", None)] == [False, True, True]
    assert [ask(client, name)["cached"] for name in ("two/shared", "two/shared")] == [False, True]
    assert (len(near.calls), len(far.calls)) == (1, 1)


@pytest.mark.parametrize("model", ["none", "one/", "/shared", "one/beta", "three/shared", "two/echo", "my-deployment"])
def test_other_names_are_refused_with_those_that_are_allowed(client: FlaskClient, model: str) -> None:
    problem = ask(client, model)
    assert (problem["status"], problem["error"]) == (422, "unknown-model")
    assert "two/shared" in problem["errors"][0]["message"]


def test_the_list_of_allowed_models_may_use_any_name(make_app: MakeApp, file: Path) -> None:
    app = make_app(
        APP_PROVIDERS_FILE=str(file), ONE_KEY=ONE_KEY, APP_MODELS="two/beta,one/shared", OPENAI_MODEL="two/beta"
    )
    client = app.test_client()
    assert client.get("/api/v1/status").get_json()["models"] == ["beta", "shared"]
    assert (ask(client, None)["model"], ask(client, "shared")["model"], ask(client, "beta")["model"]) == (
        "beta",
        "shared",
        "beta",
    )
    assert ask(client, "org/alpha")["error"] == "unknown-model"


@pytest.mark.parametrize(
    ("models", "environ", "default"),
    [
        ("[a, b]", {}, "a"),
        ("[a, gpt-4o-mini]", {}, "gpt-4o-mini"),
        ("[a, b, gpt-4o-mini]", {"APP_MODELS": "none/b,a"}, "b"),
        ("[a, gpt-4o-mini]", {"OPENAI_MODEL": "none/a"}, "a"),
    ],
)
def test_the_default_model(
    make_app: MakeApp, tmp_path: Path, models: str, environ: dict[str, str], default: str
) -> None:
    file = write_providers(tmp_path, f"providers: {{none: {{kind: echo, models: {models}}}}}")
    client = make_app(APP_PROVIDERS_FILE=str(file), **environ).test_client()
    assert (client.get("/api/v1/status").get_json()["model"], ask(client, None)["model"]) == (default, default)


def test_a_key_opens_its_models_by_any_name(make_app: MakeApp, file: Path) -> None:
    app = make_app(APP_PROVIDERS_FILE=str(file), ONE_KEY=ONE_KEY, APP_AUTH="required")
    headers = bearer(make_key(app, scopes=("generate",), models=frozenset({"two/beta", "shared"}))[0])
    client = app.test_client()

    def asked(model: str) -> Any:
        return client.post(GENERATE, json={**BODY, "model": model}, headers=headers).get_json()

    assert [asked(name)["model"] for name in ("beta", "two/beta", "one/shared")] == ["beta", "beta", "shared"]
    assert asked("two/shared")["error"] == "unknown-model"
    status = client.get("/api/v1/status", headers=headers).get_json()
    assert (status["models"], status["providers"][1]["models"]) == (["shared", "beta"], ["beta"])


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OPENAI_MODEL": "gpt-5"}, "has no model gpt-5, which OPENAI_MODEL names"),
        ({"APP_MODELS": "shared,nope"}, "has no model nope, which APP_MODELS names"),
        ({"APP_MODELS": "shared", "OPENAI_MODEL": "beta"}, "APP_MODELS does not contain the default model beta"),
        ({"ONE_KEY": ""}, "one.api_key_env names a variable that is not set"),
    ],
)
def test_settings_that_do_not_fit_the_file_stop_the_start(
    make_app: MakeApp, file: Path, environ: dict[str, str], words: str
) -> None:
    with pytest.raises(StartError, match=words) as raised:
        make_app(**{"APP_PROVIDERS_FILE": str(file), "ONE_KEY": ONE_KEY, **environ})
    assert (raised.value.exit_code, raised.value.lines[0].startswith(f"APP_PROVIDERS_FILE: {file}")) == (78, True)


def test_a_model_that_several_lists_lack_is_told_once(make_app: MakeApp, file: Path) -> None:
    with pytest.raises(StartError) as raised:
        make_app(APP_PROVIDERS_FILE=str(file), ONE_KEY=ONE_KEY, APP_MODELS="shared>nope,beta>nope>no")
    assert [line.split(" has ")[1] for line in raised.value.lines] == [
        "no model nope, which APP_MODELS names",
        "no model no, which APP_MODELS names",
    ]


def test_the_status_of_each_provider(client: FlaskClient, far: Upstream) -> None:
    ask(client, "fault-401")
    status = client.get("/api/v1/status").get_json()
    assert (status["model"], status["provider"], status["provider_faults"]) == ("shared", "one", [])
    near, second, cloud, none = status["providers"]
    idle = {"in_flight": 0, "slots": 500, "circuit": "closed", "retries_last_minute": 0, "error": None}
    assert near == {
        "name": "one",
        "kind": "responses",
        "models": ["shared", "org/alpha", "two/delta", "priced"],
        "circuits": {},
        **idle,
    }
    assert second == {
        "name": "two",
        "kind": "chat",
        "models": ["two/shared", "beta", "delta", "fault-401", "tokens-30-20", "failing"],
        **idle,
        "slots": 7,
        "circuits": {"fault-401": "closed"},
        "error": "The model provider rejected the service's API key.",
    }
    assert (cloud["kind"], cloud["models"], none["kind"], none["models"]) == ("azure", ["gamma"], "echo", ["echo"])
    assert status["upstream"]["slots"] == 1507


def test_a_failing_model_does_not_close_the_others(client: FlaskClient) -> None:
    for text in ("once", "again"):
        assert ask(client, "failing", text)["status"] in (502, 503)
    assert ask(client, "failing")["error"] == "upstream-unavailable"
    assert ask(client, "beta")["status"] == "completed"
    second = client.get("/api/v1/status").get_json()["providers"][1]
    assert (second["circuit"], second["circuits"]) == ("open", {"failing": "open", "beta": "closed"})
    page = client.get("/status").get_data(as_text=True)
    assert "circuit open" in page
    assert "its circuit is open ·" in page
    assert client.get("/api/v1/ready").get_json()["checks"]["provider"] == "two: failing fails; its circuit is open."


def test_prices_are_those_of_the_provider(app: Flask, file: Path) -> None:
    client = app.test_client()

    def cost(model: str) -> Any:
        answer = ask(client, model, text=f"How much is {model}?")
        return answer["cost_usd"], answer["input_tokens"]

    assert (cost("shared")[0], cost("beta")[0], cost("two/shared")[0]) == (None, "0", "0")
    assert cost("priced")[0] == f"{cost('priced')[1] / 1_000_000:.6f}".rstrip("0")
    file.write_text(file.read_text().replace("free: true", "free: false"))
    services_of(app).providers.refresh()  # type: ignore[attr-defined]
    assert client.post(GENERATE, json={**BODY, "model": "beta", "input": "And now?"}).get_json()["cost_usd"] is None


def test_readiness_names_the_provider_to_those_with_a_key(make_app: MakeApp, file: Path) -> None:
    app = make_app(APP_PROVIDERS_FILE=str(file), ONE_KEY=ONE_KEY, APP_AUTH="required")
    services_of(app).warm()
    client, headers = app.test_client(), bearer(make_key(app, scopes=("generate",))[0])
    assert client.get("/api/v1/ready").get_json()["status"] == "ready"
    client.post(GENERATE, json={**BODY, "model": "fault-401"}, headers=headers)
    ready = client.get("/api/v1/ready")
    assert (ready.status_code, ready.get_json()["status"]) == (200, "degraded")
    assert ready.get_json()["checks"]["provider"] == "failing"
    detail = client.get("/api/v1/ready", headers=headers).get_json()["checks"]["provider"]
    assert detail == "two: The model provider rejected the service's API key."


def test_the_page_shows_each_provider_and_the_faults_of_the_file(app: Flask, file: Path) -> None:
    client = app.test_client()
    panel = client.get("/status").get_data(as_text=True)
    for words in ("<dt>one</dt>", "<dt>two</dt>", "0 of 7 slots in use", "No known error"):
        assert words in panel
    assert "Providers file" not in panel
    assert "No model is connected" not in client.get("/").get_data(as_text=True)
    for model in ("two/shared", "org/alpha", "beta"):
        assert f">{model}</option>" in client.get("/").get_data(as_text=True)
    file.write_text(file.read_text().replace("kind: chat", "kind: <b>chat"))
    services_of(app).providers.refresh()  # type: ignore[attr-defined]
    panel = client.get("/status").get_data(as_text=True)
    assert "providers.yml:8: two.kind must be one of" in panel
    assert "<b>chat" not in panel
    assert str(file.parent) not in panel


def test_a_form_may_choose_a_model_of_any_provider(client: FlaskClient, far: Upstream) -> None:
    form = {"template_id": "basic_chat_v1", "template_shown": "basic_chat_v1", "input": "Hi", "model": "two/shared"}
    page = client.post("/", data=form, headers=OWN_PAGE, follow_redirects=True)
    assert page.status_code == 200
    assert [call["body"]["model"] for call in far.calls] == ["renamed"]


def test_the_document_follows_the_file(app: Flask, file: Path) -> None:
    client = app.test_client()

    def models() -> list[str]:
        schema = client.get("/openapi.json").get_json()["components"]["schemas"]["BasicChatV1Request"]
        return [name for name in schema["properties"]["model"]["enum"] if name]

    assert "beta" in models()
    file.write_text(file.read_text().replace("beta: {}", "zeta: {}"))
    services_of(app).providers.refresh()  # type: ignore[attr-defined]
    assert ("beta" in models(), "zeta" in models()) == (False, True)


def test_a_changed_file_is_used_also_for_requests_that_were_made_before(
    app: Flask, file: Path, near: Upstream, far: Upstream
) -> None:
    client = app.test_client()
    assert (ask(client, None)["model"], ask(client, "shared")["cached"]) == ("shared", True)
    text = file.read_text()
    # The second provider comes first now: it has the plain name, and the default model.
    head, first, second = text.index("  one:"), text.index("  two:"), text.index("  cloud:")
    file.write_text(text[:head] + text[first:second] + text[head:first] + text[second:])
    services_of(app).providers.refresh()  # type: ignore[attr-defined]
    answer = ask(client, None)
    assert (answer["model"], answer["cached"]) == ("shared", False)
    assert [call["body"]["model"] for call in far.calls] == ["renamed"]
    assert ask(client, "one/shared")["cached"] is True, "what was sent to this provider is the same as before"
    file.write_text(file.read_text().replace("beta: {}, ", ""))
    ask(client, "beta")
    services_of(app).providers.refresh()  # type: ignore[attr-defined]
    assert ask(client, "beta")["error"] == "unknown-model"


def test_a_reload_keeps_what_did_not_change_and_a_running_call_keeps_its_provider(
    app: Flask, file: Path, near: Upstream, far: Upstream
) -> None:
    providers = services_of(app).providers
    first, second = (providers.resolve(name).provider for name in ("shared", "beta"))
    client = app.test_client()
    ask(client, "shared")
    with client.post(GENERATE, json={**BODY, "model": "tokens-30-20", "stream": True}) as running:
        file.write_text(file.read_text().replace("slots: 7", "slots: 9"))
        providers.refresh()  # type: ignore[attr-defined]
        assert providers.resolve("shared").provider is first
        assert providers.resolve("beta").provider is not second
        assert providers.state().in_flight == 1, "a replaced provider's call counts until it ends"
        assert '"status": "completed"' in running.get_data(as_text=True)
    until(lambda: far.open_connections == 0)
    assert near.open_connections == 1, "what did not change keeps its connections"
    providers.refresh()  # type: ignore[attr-defined]
    assert providers.state().in_flight == 0


def test_descriptors_do_not_pile_up_over_reloads(app: Flask, file: Path, far: Upstream) -> None:
    client, text = app.test_client(), file.read_text()

    def reload_and_ask(number: int) -> None:
        file.write_text(text.replace("slots: 7", f"slots: {number}"))
        services_of(app).providers.refresh()  # type: ignore[attr-defined]
        assert ask(client, "beta", f"round {number}")["status"] == "completed"

    reload_and_ask(10)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(11, 61):
        reload_and_ask(number)
    until(lambda: far.open_connections == 1)
    # The server is in this process, too: both ends of each connection count.
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_with_the_file_the_variables_of_one_provider_are_ignored_with_a_warning(
    make_app: MakeApp, file: Path, near: Upstream
) -> None:
    app = make_app(
        APP_PROVIDERS_FILE=str(file),
        ONE_KEY=ONE_KEY,
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
        APP_PROVIDER="echo",
        OPENAI_API_KEY=KEY_CANARY,
    )
    near.calls.clear()
    assert ask(app.test_client(), "shared")["status"] == "completed"
    assert KEY_CANARY not in str(near.calls)
    assert app.config["SETTINGS"].warnings == (
        "OPENAI_BASE_URL: is ignored, because APP_PROVIDERS_FILE is set",
        "APP_PROVIDER: is ignored, because APP_PROVIDERS_FILE is set",
    )


def test_keys_of_the_file_are_masked_in_the_log(make_app: MakeApp, file: Path, tmp_path: Path) -> None:
    with logged("INFO") as lines:
        app = make_app(APP_PROVIDERS_FILE=str(file), ONE_KEY=ONE_KEY)
        structlog.get_logger("test").info("started", keys=[ONE_KEY, {"two": f"it is {TWO_KEY}."}])
        (tmp_path / "two.key").write_text("three-canary-0123456789")
        services_of(app).providers.refresh()  # type: ignore[attr-defined]
        structlog.get_logger("test").info("replaced", keys=[ONE_KEY, TWO_KEY, "three-canary-0123456789"])
    assert [line for line in lines if '"started"' in line or '"replaced"' in line]
    assert "canary" not in "".join(lines)
