"""Stored sources of prompt files."""

from llm_service.core.templates.model import Template
from llm_service.core.templates.ports import TemplateFault, TemplateFaults

from ..strict_yaml import FileFormatError
from .parser import parse_prompty


class SourceParser:
    """Implements `ParseTemplate`."""

    def __init__(self, default_max_chars: int) -> None:
        self._default_max_chars = default_max_chars

    def __call__(self, template_id: str, source: str) -> Template:
        try:
            return parse_prompty(template_id, source, default_max_chars=self._default_max_chars)
        except FileFormatError as error:
            raise TemplateFaults([TemplateFault(template_id, error.line or None, error.message)]) from error
