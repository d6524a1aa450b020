"""What callers get from each server: a row for each transcript, and a cell of the matrix in docs/servers.md for each row.

A transcript has the form in which a server sends an answer, as its source or its documentation says, with values of our
own: `transcripts/SERVER/CASE-KIND.EXT`. `test_matrix.py` runs the service against each of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

# The servers by the names of their folders, and as they are called.
SERVERS = {
    "openai": "OpenAI",
    "azure": "Azure OpenAI",
    "ollama": "Ollama",
    "llama-cpp": "llama.cpp",
    "vllm": "vLLM",
    "lm-studio": "LM Studio",
    "litellm": "LiteLLM",
    "openrouter": "OpenRouter",
    "transformers": "transformers serve",
}
CASES = {
    "plain": "plain",
    "stream": "stream",
    "json": "JSON",
    "thinking": "thinking",
    "cut": "cut",
    "error": "error in the stream",
    "too-long": "too long",
    "usage": "usage",
    "cancel": "cancel",
}
# Transcripts that have no column.
MORE_CASES = {
    "only-thinking": "Thoughts that use up the tokens, so that no answer follows",
    "error-first": "An error before the first text, which is tried three times",
    "silent": "A text that is too long, of which the server says nothing: its answer is empty",
    "filtered": "A request that the content filter refuses",
    "filtered-answer": "An answer that the content filter ends",
}
RESPONSES, CHAT = "responses", "chat"
# What failed is asked for again, if nobody has seen text of it.
REPEATED = 3
TEXT, BEGINNING = "An oak: lobed leaves, and acorns.", "An oak"
CUT_TEXT = "An oak: lobed"
JSON_TEXT = '{"label": "oak", "why": "acorns"}'


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts of an answer; None = the server does not say, or says zero where that cannot be."""

    input: int
    output: int
    cached: int | None
    reasoning: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """`text`: the answer, or what came before the error. `error`: its code; None = there is an answer.

    `says`: words of the error's detail. `fenced`: JSON that the server put into a code fence, so that what is streamed has
    more. `warning`: the code of one. `cost`: in US dollars, if the server says it. `calls`: how often the server is asked for a plain
    answer.
    """

    text: str = TEXT
    tokens: Tokens | None = None
    incomplete: str | None = None
    error: str | None = None
    says: tuple[str, ...] = ()
    fenced: bool = False
    warning: str | None = None
    cost: str | None = None
    calls: int = 1

    @property
    def streamed_calls(self) -> int:
        """How often the server is asked for an answer that is shown while it arrives."""
        return 1 if self.text else self.calls

    @property
    def stored(self) -> bool:
        """Only whole answers are cached."""
        return not (self.incomplete or self.error or self.warning)


TOO_LONG = Row("", error="too-long-for-model")


@dataclass(frozen=True, slots=True)
class Column:
    """What a server reports in one wire format, and how it fails.

    `cached`, `reasoning`: counts where there is nothing of the kind; None = not reported. `from_cache`: the cached tokens
    of the case `usage`. `thoughts`: the reasoning tokens of the case `thinking`.
    """

    cached: int | None
    reasoning: int | None
    from_cache: int | None
    thoughts: int | None
    json: Row = Row(JSON_TEXT)
    error: Row = Row(BEGINNING, error="upstream-error")
    too_long: Row | None = TOO_LONG
    cost: str | None = None

    def rows(self) -> Iterator[tuple[str, Row]]:
        for case, row in self._rows():
            yield case, replace(row, cost=None if row.error else self.cost)

    def _rows(self) -> Iterator[tuple[str, Row]]:
        def tokens(into: int, out: int) -> Tokens:
            return Tokens(into, out, self.cached, self.reasoning)

        yield "plain", Row(tokens=tokens(24, 9))
        yield "stream", Row(tokens=tokens(24, 9))
        yield "json", replace(self.json, tokens=None if self.json.error else tokens(31, 12))
        yield "thinking", Row(tokens=Tokens(24, 40, self.cached, self.thoughts))
        yield "cut", Row(CUT_TEXT, tokens(24, 16), incomplete="max_output_tokens")
        yield "error", self.error
        if self.too_long is not None:
            yield "too-long", self.too_long
        yield "usage", Row(tokens=Tokens(1830, 9, self.from_cache, self.reasoning))


SIZES_TOLD = replace(TOO_LONG, says=("9,001", "4,096"))
LARGER_SIZES_TOLD = replace(TOO_LONG, says=("9,001", "8,192"))
COST = "0.000123"
FENCED = Row(JSON_TEXT, fenced=True)
PROSE = Row("It looks like an oak to me.", error="invalid-output", says=("schema",))
LOST = Row(TEXT.removesuffix(", and acorns."), error="upstream-truncated", calls=REPEATED)
RATE_LIMITED = Row(BEGINNING, error="upstream-rate-limited")
SHORTENED = Row(warning="input-truncated", tokens=Tokens(512, 9, 0, 0))
FILTERED = Row("", error="content-filtered")
FAILED_FIRST = Row("", error="upstream-error", calls=REPEATED)

COLUMNS: Mapping[tuple[str, str], Column] = {
    ("openai", RESPONSES): Column(0, 0, 1536, 28),
    ("openai", CHAT): Column(0, 0, 1536, 28, too_long=LARGER_SIZES_TOLD),
    ("azure", RESPONSES): Column(0, 0, 1536, 28, error=RATE_LIMITED),
    ("azure", CHAT): Column(0, 0, 1536, 28, error=RATE_LIMITED, too_long=LARGER_SIZES_TOLD),
    # It says zero for what it does not know, and loses its errors: a stream without an end.
    ("ollama", RESPONSES): Column(0, 0, 0, None, error=LOST, too_long=SHORTENED),
    ("ollama", CHAT): Column(
        None, None, None, None, error=LOST, too_long=replace(SHORTENED, tokens=Tokens(512, 9, None, None))
    ),
    ("llama-cpp", RESPONSES): Column(None, None, None, None, json=FENCED, too_long=SIZES_TOLD),
    ("llama-cpp", CHAT): Column(None, None, 1536, None, too_long=SIZES_TOLD),
    # Its error is no event of the API, which breaks its stream.
    ("vllm", RESPONSES): Column(0, 0, 1536, 28, error=replace(LOST, text=BEGINNING), too_long=SIZES_TOLD),
    ("vllm", CHAT): Column(None, None, 1536, None, too_long=SIZES_TOLD),
    ("lm-studio", RESPONSES): Column(0, 0, 1024, 28, json=PROSE),
    ("lm-studio", CHAT): Column(None, 0, None, 28),
    ("litellm", RESPONSES): Column(0, 0, 1536, 28),
    ("litellm", CHAT): Column(0, 0, 1536, 28),
    ("openrouter", RESPONSES): Column(0, 0, 1536, 28, error=RATE_LIMITED, too_long=LARGER_SIZES_TOLD, cost=COST),
    ("openrouter", CHAT): Column(0, 0, 1536, 28, too_long=LARGER_SIZES_TOLD, cost=COST),
    # It does not look at the length of a text.
    ("transformers", RESPONSES): Column(0, 0, 0, None, json=FENCED, too_long=None),
    ("transformers", CHAT): Column(None, None, None, None, json=FENCED, too_long=None),
}
MORE_ROWS = {
    ("ollama", "only-thinking", RESPONSES): Row("", Tokens(24, 16, 0, None), incomplete="max_output_tokens"),
    ("ollama", "only-thinking", CHAT): Row("", Tokens(24, 16, None, None), incomplete="max_output_tokens"),
    # It says first that the answer failed, and then why.
    ("azure", "error-first", RESPONSES): replace(FAILED_FIRST, error="upstream-rate-limited"),
    ("lm-studio", "error-first", RESPONSES): FAILED_FIRST,
    ("litellm", "error-first", RESPONSES): FAILED_FIRST,
    ("openrouter", "error-first", CHAT): FAILED_FIRST,
    ("lm-studio", "silent", CHAT): Row("", Tokens(9001, 0, None, None), incomplete="empty_output"),
    ("azure", "filtered", RESPONSES): FILTERED,
    ("azure", "filtered", CHAT): FILTERED,
    ("azure", "filtered-answer", CHAT): Row(BEGINNING, incomplete="content_filter"),
}
# By server, case and kind.
ROWS: Mapping[tuple[str, str, str], Row] = {
    **{(server, case, kind): row for (server, kind), column in COLUMNS.items() for case, row in column.rows()},
    **MORE_ROWS,
}


def name_of(server: str, case: str, kind: str) -> str:
    """Of the model that gets the transcript."""
    return f"replay-{server}-{case}-{kind}"
