"""The seed: the kind of service that this project replaces, in as few lines as it needs.

FastAPI under uvicorn, a sync endpoint, a dict as the cache, the OpenAI SDK. No streams, no history, no limits.
"""

import hashlib
import json
import uuid
from typing import Any

from fastapi import FastAPI
from jinja2 import Template
from openai import OpenAI
from pydantic import BaseModel

MODEL = "gpt-4o-mini"
TEMPLATES = {
    "basic_chat_v1": (
        Template("You are a helpful assistant. Answer in a {{ tone }} tone. Be correct and brief."),
        Template("{{ input }}"),
    )
}
app = FastAPI()
client = OpenAI(max_retries=0)
cache: dict[str, dict[str, Any]] = {}


class Asked(BaseModel):
    template_id: str
    input: str
    parameters: dict[str, Any] = {}


class Answer(BaseModel):
    request_id: str
    template_id: str
    model: str
    status: str
    cached: bool
    output: str
    system_prompt: str
    user_prompt: str
    input_tokens: int
    output_tokens: int
    total_tokens: int


@app.get("/api/v1/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/v1/generate")
def generate(asked: Asked) -> Answer:
    key = hashlib.sha256(json.dumps(asked.model_dump(), sort_keys=True).encode()).hexdigest()
    cached = key in cache
    if not cached:
        cache[key] = ask_model(asked)
    return Answer(request_id=str(uuid.uuid4()), cached=cached, **cache[key])


def ask_model(asked: Asked) -> dict[str, Any]:
    system, user = (part.render(input=asked.input, **asked.parameters) for part in TEMPLATES[asked.template_id])
    response = client.responses.create(model=MODEL, instructions=system, input=user, store=False)
    assert response.usage
    return {
        "template_id": asked.template_id,
        "model": MODEL,
        "status": "completed",
        "output": response.output_text,
        "system_prompt": system,
        "user_prompt": user,
        "input_tokens": response.usage.input_tokens,
        "output_tokens": response.usage.output_tokens,
        "total_tokens": response.usage.total_tokens,
    }
