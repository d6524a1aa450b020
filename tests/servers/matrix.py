"""Writes the matrix of docs/servers.md from the rows that `test_matrix.py` runs: `python -m tests.servers.matrix`.

Beside `llm_service/cli/docs.py`, because the service does not import its tests.
"""

import re
from collections.abc import Iterable, Iterator

from tests.servers.rows import CASES, CHAT, COLUMNS, MORE_CASES, MORE_ROWS, RESPONSES, ROWS, SERVERS, Row, Tokens
from tests.support.constants import ROOT

PAGE = ROOT / "docs/servers.md"
NOT_TESTED = "not tested"
_PART = re.compile(r"(<!-- begin matrix -->\n).*?(<!-- end matrix -->\n)", re.DOTALL)


def generated() -> str:
    """The page as it should be."""
    return _PART.sub(lambda found: f"{found[1]}\n{_matrix()}\n{found[2]}", PAGE.read_text())


def _matrix() -> str:
    tables = [f"`kind: {kind}`{more}\n\n{_table(kind)}" for kind, more in ((RESPONSES, _AZURE), (CHAT, ""))]
    return "\n".join([*tables, "Tested beside these:\n", *_more(), ""])


_AZURE = " (Azure OpenAI: `kind: azure`)"


def _table(kind: str) -> str:
    rows = [["server", *CASES.values()]]
    rows += [[shown, *(_cell(server, case, kind) for case in CASES)] for server, shown in SERVERS.items()]
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body, ""])


def _cell(server: str, case: str, kind: str) -> str:
    if case == "cancel":
        return "stopped; text kept" if (server, kind) in COLUMNS else NOT_TESTED
    row = ROWS.get((server, case, kind))
    return NOT_TESTED if row is None else _result(case, row)


def _result(case: str, row: Row) -> str:
    if row.error:
        numbers = "; numbers told" if any(word[0].isdigit() for word in row.says) else ""
        return f"`{row.error}`" + ("; text kept" if row.text and case == "error" else numbers)
    if row.incomplete:
        return f"`{row.incomplete}`"
    if row.warning:
        return f"answer; warning `{row.warning}`"
    if case == "usage" and row.tokens:
        return ", ".join([*_known(row.tokens), *(["cost"] if row.cost else [])])
    if case == "json":
        return "JSON from the fence" if row.fenced else "JSON"
    if case == "thinking" and row.tokens and row.tokens.reasoning is None:
        return "answer; tokens of thoughts unknown"
    return "answer"


def _known(tokens: Tokens) -> Iterator[str]:
    yield "input, output"
    if tokens.cached:
        yield "cached"
    if tokens.reasoning is not None:
        yield "reasoning"


def _more() -> Iterable[str]:
    for (server, case, kind), row in MORE_ROWS.items():
        yield f"- {MORE_CASES[case]} ({SERVERS[server]}, `kind: {_kind(server, kind)}`): {_result(case, row)}"


def _kind(server: str, kind: str) -> str:
    return "azure" if (server, kind) == ("azure", RESPONSES) else kind


if __name__ == "__main__":
    PAGE.write_text(generated())
