"""`make docs`: write the parts of the documentation that come from the code.

These are `.env.example`, the text between `<!-- begin NAME -->` and `<!-- end NAME -->` in pages, and the titles of the
errors that nginx sends.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from llm_service.bootstrap.setting_reader import Setting, declared
from llm_service.bootstrap.settings import SECTIONS, Settings
from llm_service.bootstrap.start_checks import CHECKOUT
from llm_service.web.http.problems import PROBLEMS, STATUS_IN_PATH, Problem

NGINX = "deploy/nginx.conf"
PAGES = ("docs/configuration.md", "docs/errors.md")
GROUPS = ("The request", "The model provider", "The service")
_PART = re.compile(r"(<!-- begin (.+) -->\n).*?(<!-- end \2 -->\n)", re.DOTALL)
_NGINX_TITLE = re.compile(r'("/problems/([a-z-]+)","title":")[^"]*')
_ENV_HEADER = """\
# Copy to .env and change what you need. Environment variables override this file.
# What each setting means: docs/configuration.md. Commented lines show the defaults.
# `make docs` writes this file from llm_service/bootstrap/settings.py.
"""


def generated() -> Mapping[str, str]:
    """The files as they should be, by path in the checkout."""
    parts = {**_setting_tables(), **_error_tables(), "errors: example": _error_example()}
    pages = {page: _PART.sub(lambda found: f"{found[1]}\n{parts[found[2]]}\n{found[3]}", _read(page)) for page in PAGES}
    nginx = _NGINX_TITLE.sub(lambda found: f"{found[1]}{PROBLEMS[found[2]].title}", _read(NGINX))
    return {".env.example": _env_example(), **pages, NGINX: nginx}


def _read(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


def _table(*rows: Iterable[str]) -> str:
    """The first row is the head."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * (head.count(" | ") + 1), *body, ""])


def _by_section() -> Iterator[tuple[str, list[Setting]]]:
    settings = declared(Settings).values()
    return ((section, [item for item in settings if item.section == section]) for section in SECTIONS)


def _setting_tables() -> dict[str, str]:
    return {
        f"settings: {section}": _table(
            ("name", "default", "values", "meaning"), *(_setting_row(item) for item in settings)
        )
        for section, settings in _by_section()
    }


def _setting_row(item: Setting) -> tuple[str, ...]:
    default = _shown(item.default)
    default = item.shown or (f"`{default}`" if default else "–")
    return ", ".join(f"`{name}`" for name in item.names), default, item.kind.allowed, item.help


def _env_example() -> str:
    sections = ["\n".join([f"\n# -- {section}", *_env_lines(settings)]) for section, settings in _by_section()]
    return "\n".join([_ENV_HEADER.rstrip(), *sections, ""])


def _env_lines(settings: Iterable[Setting]) -> Iterator[str]:
    for item in settings:
        yield f"# {item.name}={item.example or _shown(item.default)}"
        if item.kind.is_secret:
            yield f"# {item.name}_FILE=/run/secrets/{item.name.lower()}"


def _shown(default: object) -> str:
    """As it is written in the environment."""
    match default:
        case None:
            return ""
        case tuple():
            return ",".join(default)
        case _:
            return str(default)


def _error_tables() -> dict[str, str]:
    head = ("status", "`error`", "what it means", "what to do")
    by_status = sorted(PROBLEMS.items(), key=lambda item: item[1].status)
    return {
        f"errors: {group}": _table(head, *(_error_row(*item) for item in by_status if _group(*item) == group))
        for group in GROUPS
    }


def _group(code: str, problem: Problem) -> str:
    if problem.status < 500:
        return "The request"
    is_upstream = code.startswith("upstream-") or problem.status in (502, 504)
    return "The model provider" if is_upstream else "The service"


def _error_row(code: str, problem: Problem) -> tuple[str, ...]:
    in_path = f", in a path {STATUS_IN_PATH[code]}" if code in STATUS_IN_PATH else ""
    return f"{problem.status}{in_path}", f"`{code}`", f"**{problem.title}.** {problem.meaning}", problem.remedy


def _error_example() -> str:
    problem = PROBLEMS["invalid-input"]
    members = {
        "type": "/problems/invalid-input",
        "title": problem.title,
        "status": problem.status,
        "detail": "Check: parameters.tone.",
        "instance": "/api/v1/generate",
        "error": "invalid-input",
        "request_id": "019ab3f0-5f1e-7c3a-9d55-3d1c0a7b2e11",
        "errors": [{"field": "parameters.tone", "message": "must be one of: neutral, simple, professional"}],
    }
    return f"```json\n{json.dumps(members, indent=2)}\n```\n"


if __name__ == "__main__":
    for name, text in generated().items():
        (CHECKOUT / name).write_text(text, encoding="utf-8")
