"""Prompt templates: typed inputs and outputs, rendering, tests in the file."""
