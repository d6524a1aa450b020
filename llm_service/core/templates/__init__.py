"""Prompt templates: typed inputs and outputs, rendering, self tests."""
