import pytest
from flask.testing import FlaskClient

from tests.support.constants import SHIPPED

URL = "/api/v1/templates"


def test_list(client: FlaskClient) -> None:
    items = client.get(URL).get_json()["items"]
    assert [item["id"] for item in items] == SHIPPED
    by_id = {item["id"]: item for item in items}
    chat = by_id["basic_chat_v1"]
    assert chat.keys() == {"id", "name", "description", "revision", "model", "inputs", "outputs"}
    assert chat["inputs"]["properties"]["tone"]["enum"] == ["neutral", "simple", "professional"]
    assert (chat["inputs"]["required"], chat["outputs"]) == (["input"], None)
    assert by_id["classify_v1"]["outputs"]["properties"]["label"]["type"] in ("string", ["string", "null"])


@pytest.mark.parametrize("name", ["basic_chat_v1", "basic_chat"])
def test_one(client: FlaskClient, name: str) -> None:
    template = client.get(f"{URL}/{name}").get_json()
    assert template["id"] == "basic_chat_v1"
    assert template["source"].startswith("---\nname: Basic chat")


@pytest.mark.shared_app
@pytest.mark.parametrize("name", ["nope", "..%2f..%2fetc%2fpasswd", "CON", "A" * 5000, "basic_chat_v1%00", "__class__"])
def test_missing(client: FlaskClient, name: str) -> None:
    response = client.get(f"{URL}/{name}")
    assert response.status_code == 404
    assert response.get_json()["error"] in ("unknown-template", "not-found")


@pytest.mark.parametrize("path", ["", "/basic_chat_v1"])
def test_wrong_method_and_query(client: FlaskClient, path: str) -> None:
    assert client.post(URL + path).status_code == 405
    assert client.get(f"{URL}{path}?x=1").get_json()["errors"][0]["field"] == "x"
