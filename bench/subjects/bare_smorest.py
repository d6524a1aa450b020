"""A flask-smorest view that validates its input and answers a constant. One request of it is the unit of `bench.cost`."""

import marshmallow as ma
from flask import Flask
from flask_smorest import Api, Blueprint

ANSWER = {"output": "x" * 560, "status": "completed"}
app = Flask(__name__)
app.config.update(API_TITLE="bare", API_VERSION="1", OPENAPI_VERSION="3.1.0")
api = Api(app)
blp = Blueprint("bare", __name__, url_prefix="/api/v1")


class AskedSchema(ma.Schema):
    template_id = ma.fields.String(required=True)
    input = ma.fields.String(required=True)
    parameters = ma.fields.Dict()


class AnswerSchema(ma.Schema):
    output = ma.fields.String()
    status = ma.fields.String()


@blp.route("/health")
@blp.response(200, AnswerSchema)
def health() -> dict[str, str]:
    return {"status": "ok"}


@blp.route("/generate", methods=["POST"])
@blp.arguments(AskedSchema)
@blp.response(200, AnswerSchema)
def generate(_asked: object) -> dict[str, str]:
    return ANSWER


api.register_blueprint(blp)
