"""An API request as code that people copy: curl, Python (standard library) and JavaScript, and its body as JSON.

Strings are written as JSON, which Python and JavaScript read the same way: no text can end a string. No line of the JSON
can be the end of the shell's here-document either, since each one begins with a space, a bracket or a quote.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request, url_for

from llm_service.core.templates.model import Template

from ..http.loopback import is_local_request
from .forms import Form

# A longer body is shown as JSON only, not four times.
MAX_SAMPLE_CHARS = 100_000
KEY_VARIABLE = "LLM_API_KEY"
# Line and paragraph separators, direction marks that reorder code on the screen, controls, halves of a pair.
_UNSAFE_IN_CODE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True)
class CodeSample:
    """`language` is stable: part of ids, names and classes. `label` is for people."""

    language: str
    label: str
    text: str


@dataclass(frozen=True)
class ApiRequest:
    """`json_output`: the answer is JSON. `skip_cache`: sent with `Cache-Control: no-cache`."""

    url: str
    body: Mapping[str, Any]
    with_key: bool
    json_output: bool = False
    skip_cache: bool = False


def form_samples(form: Form) -> list[CodeSample]:
    """The request that the form would send, by the API."""
    json_output = form.template.outputs is not None
    return code_samples(_api_request(url_for("generate.generate"), form.body(), json_output, form.fresh))


def example_samples(template: Template) -> list[CodeSample]:
    """A call of the template's own operation with its example."""
    url = url_for("templates.generate", template_id=template.template_id)
    return code_samples(_api_request(url, template.example(), template.outputs is not None))


def code_samples(api_request: ApiRequest) -> list[CodeSample]:
    if len(json.dumps(api_request.body, ensure_ascii=False)) > MAX_SAMPLE_CHARS:
        # In ASCII, nothing is left to replace: that would take half a second for the longest.
        return [CodeSample("json", "JSON", json.dumps(api_request.body, indent=2))]
    body = json_text(api_request.body)
    return [
        CodeSample("curl", "curl", _curl(api_request, body)),
        CodeSample("python", "Python", _python(api_request)),
        CodeSample("javascript", "JavaScript", _javascript(api_request, body)),
        CodeSample("json", "JSON", body),
    ]


def json_text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _UNSAFE_IN_CODE.sub(lambda char: f"\\u{ord(char[0]):04x}", text)


def _api_request(path: str, body: Mapping[str, Any], json_output: bool, skip_cache: bool = False) -> ApiRequest:
    # A signed-in browser may be on this machine, too: what counts is whether a program would need a key.
    with_key = not is_local_request(request.environ)
    return ApiRequest(request.host_url.rstrip("/") + path, body, with_key, json_output, skip_cache)


def _curl(api_request: ApiRequest, body: str) -> str:
    lines = [f"curl {shlex.quote(api_request.url)}", "-H 'Content-Type: application/json'"]
    if api_request.with_key:
        lines.append(f'-H "Authorization: Bearer ${KEY_VARIABLE}"')
    if api_request.skip_cache:
        lines.append("-H 'Cache-Control: no-cache'")
    lines.append("-d @- <<'JSON'")
    return " \\\n  ".join(lines) + f"\n{body}\nJSON"


def _python(api_request: ApiRequest) -> str:
    headers = ['"Content-Type": "application/json",']
    if api_request.with_key:
        headers.append(f'"Authorization": "Bearer " + os.environ["{KEY_VARIABLE}"],')
    if api_request.skip_cache:
        headers.append('"Cache-Control": "no-cache",')
    return "\n".join(
        [
            "import json",
            *["import os"] * api_request.with_key,
            "import urllib.request",
            "",
            f"body = {_python_literal(api_request.body)}",
            "request = urllib.request.Request(",
            f"    {json_text(api_request.url)},",
            "    data=json.dumps(body).encode(),",
            "    headers={",
            *(f"        {header}" for header in headers),
            "    },",
            ")",
            "with urllib.request.urlopen(request) as response:",
            "    answer = json.load(response)",
            f'print(answer["{_answer_key(api_request)}"])',
        ]
    )


def _javascript(api_request: ApiRequest, body: str) -> str:
    headers = ['"Content-Type": "application/json",']
    if api_request.with_key:
        headers.append(f'"Authorization": `Bearer ${{process.env.{KEY_VARIABLE}}}`,')
    if api_request.skip_cache:
        headers.append('"Cache-Control": "no-cache",')
    # In a literal, the plain key `__proto__` would set the object's prototype.
    literal = body.replace('"__proto__": ', '["__proto__"]: ').replace("\n", "\n  ")
    return "\n".join(
        [
            f"const response = await fetch({json_text(api_request.url)}, {{",
            '  method: "POST",',
            "  headers: {",
            *(f"    {header}" for header in headers),
            "  },",
            f"  body: JSON.stringify({literal}),",
            "});",
            "if (!response.ok) throw new Error(await response.text());",
            "const answer = await response.json();",
            f"console.log(answer.{_answer_key(api_request)});",
        ]
    )


def _answer_key(api_request: ApiRequest) -> str:
    return "output_json" if api_request.json_output else "output"


def _python_literal(value: Any, indent: str = "") -> str:
    inner = indent + "    "
    if isinstance(value, Mapping) and value:
        items = [f"{json_text(key)}: {_python_literal(member, inner)}" for key, member in value.items()]
        return "{\n" + "".join(f"{inner}{item},\n" for item in items) + indent + "}"
    if isinstance(value, list) and value:
        return "[\n" + "".join(f"{inner}{_python_literal(item, inner)},\n" for item in value) + indent + "]"
    return repr(value) if isinstance(value, bool) or value is None else json_text(value)
