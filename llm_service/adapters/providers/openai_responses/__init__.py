"""Servers that support the OpenAI Responses API."""
