"""A Flask view that answers a constant: what is left when only the framework and the server cost."""

from flask import Flask, request

app = Flask(__name__)
ANSWER = {"output": "x" * 560, "status": "completed"}


@app.get("/api/v1/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/v1/generate")
def generate() -> dict[str, str]:
    request.get_json()
    return ANSWER
