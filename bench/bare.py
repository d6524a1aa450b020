"""The baseline for hits: one flask-smorest view that validates its input and returns a fixed value."""

import marshmallow as ma
from flask import Flask
from flask_smorest import Api, Blueprint

app = Flask(__name__)
app.config.update(
    API_TITLE="bare", API_VERSION="1", OPENAPI_VERSION="3.1.0", OPENAPI_URL_PREFIX="/", OPENAPI_JSON_PATH="openapi.json"
)
api = Api(app)
blp = Blueprint("bare", __name__)

ANSWER = {
    "request_id": "019ab3f0-5f1e-7c3a-9d55-3d1c0a7b2e11",
    "template_id": "basic_chat_v1",
    "model": "echo",
    "status": "completed",
    "cached": True,
    "output": "word " * 50,
    "system_prompt": "word " * 20,
    "user_prompt": "word " * 20,
    "input_tokens": 100,
    "output_tokens": 50,
    "total_tokens": 150,
}


class AskedSchema(ma.Schema):
    template_id = ma.fields.String(required=True)
    input = ma.fields.String(required=True)
    parameters = ma.fields.Dict(load_default=dict)


class AnswerSchema(ma.Schema):
    request_id = ma.fields.String()
    template_id = ma.fields.String()
    model = ma.fields.String()
    status = ma.fields.String()
    cached = ma.fields.Boolean()
    output = ma.fields.String()
    system_prompt = ma.fields.String()
    user_prompt = ma.fields.String()
    input_tokens = ma.fields.Integer()
    output_tokens = ma.fields.Integer()
    total_tokens = ma.fields.Integer()


@blp.route("/api/v1/generate", methods=["POST"])
@blp.arguments(AskedSchema)
@blp.response(200, AnswerSchema)
def generate(_asked: object) -> dict[str, object]:
    return ANSWER


api.register_blueprint(blp)
