"""A self-hosted gateway to language models for a team. Imports nothing: `llm_service.core` must load without Flask."""

__version__ = "0.1.0"
