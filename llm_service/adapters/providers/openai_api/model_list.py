"""Asks a server which models it has: `GET /models`, which most servers answer."""

import time

from llm_service.core.errors import ServiceError, UpstreamInvalidResponse
from llm_service.core.generation.call_context import CallContext

from ..names import Resolve
from ..proxies import Proxy
from .body import JsonBody, answer_body
from .client import ApiClient
from .errors import from_exception

# Answers of servers that have no such list.
_NO_LIST = (404, 405, 501)


def list_models(
    *,
    api_key: str | None,
    base_url: str | None,
    proxy: Proxy | None,
    resolve: Resolve,
    key_header: str,
    sdk_variables: bool,
    kind: str,
    context: CallContext,
) -> tuple[str, ...] | None:
    """The names of the models; None = the server does not list them.

    Raises the `ServiceError` that a call would have: the server cannot be reached, or refuses the key.
    """
    import openai

    client = ApiClient(
        "/models",
        method="get",
        api_key=api_key,
        base_url=base_url,
        proxy=proxy,
        resolve=resolve,
        key_header=key_header,
        sdk_variables=sdk_variables,
    )
    try:
        response = client.send(b"", context, context.deadline - time.monotonic())
        try:
            body = answer_body(response, kind)
            return _names(body.value if isinstance(body, JsonBody) else None)
        finally:
            response.close()
    except openai.APIStatusError as error:
        if error.status_code in _NO_LIST:
            return None
        raise from_exception(error, kind=kind) from error
    except ServiceError:
        raise
    except Exception as error:
        raise from_exception(error, kind=kind) from error
    finally:
        client.close()


def _names(body: object) -> tuple[str, ...]:
    entries = body.get("data") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise UpstreamInvalidResponse("The address answered, but not with a list of models: is it that of an API?")
    names = (entry.get("id") for entry in entries if isinstance(entry, dict))
    return tuple(name for name in names if isinstance(name, str))
