"""The Responses API as Azure serves it.

Its address ends in `/openai/v1`, and the names of models are those of deployments (`as` in the providers file). Azure takes
an API key as OpenAI does, but older resources and gateways in front of it take it only in a header of their own, so both
are sent.
"""

from .wire import ResponsesWire


class AzureWire(ResponsesWire):
    """Satisfies `Wire`."""

    kind = "azure"
    key_header = "api-key"
