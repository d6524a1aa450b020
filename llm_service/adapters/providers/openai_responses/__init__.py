"""Servers that speak the OpenAI Responses API."""
