"""Prompt files in the Prompty format."""
