"""What the test provider says is what a client of the real API reads: the `openai` SDK takes its chat completions."""

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from tests.support.upstream import Upstream

MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
]


@pytest.fixture(name="client")
def _client(upstream: Upstream) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", base_url=upstream.base_url, max_retries=0)


def test_a_stream(client: openai.OpenAI) -> None:
    with (
        client,
        client.chat.completions.create(
            model="normal", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        ) as stream,
    ):
        chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "Answer to: Hello"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, 4)
    assert chunks[-1].choices == []


def test_usage_is_sent_only_where_it_is_asked_for(client: openai.OpenAI) -> None:
    with client, client.chat.completions.create(model="normal", messages=MESSAGES, stream=True) as stream:
        assert all(chunk.usage is None and chunk.choices for chunk in stream)


def test_a_whole_answer(client: openai.OpenAI) -> None:
    with client:
        answer = client.chat.completions.create(model="normal", messages=MESSAGES)
        assert isinstance(answer, ChatCompletion)
        assert answer.choices[0].message.content == "Answer to: Hello"
        assert answer.usage is not None
        assert answer.usage.total_tokens == 7


def test_a_failure_in_the_stream_is_one_for_the_sdk(client: openai.OpenAI) -> None:
    with (
        client,
        client.chat.completions.create(model="fault-failed", messages=MESSAGES, stream=True) as stream,
        pytest.raises(openai.APIError),
    ):
        list(stream)
