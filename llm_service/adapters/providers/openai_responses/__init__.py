"""Servers that support the OpenAI Responses API."""

# The SDK's own default for `base_url`.
OPENAI_URL = "https://api.openai.com/v1"
