"""Servers that are called as OpenAI's: the client, the errors and the text of an answer, for every wire format."""

# The SDK's own default for `base_url`.
OPENAI_URL = "https://api.openai.com/v1"
