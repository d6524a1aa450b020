"""Drops the thoughts with which a server begins a text when it has no parser for them."""

_OPEN, _CLOSE = "<think>", "</think>"
# A text that begins with more white space begins with no thought.
_MAX_SPACE = 1000


class ThinkFilter:
    """Drops each `<think>...</think>` at the start of a text, and the white space around it.

    It takes the text as it arrives, cut anywhere. Thoughts that never end are all that the text has. `passing`: the thoughts
    are over, so that what follows is returned as it is.
    """

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self.passing = False
        self._dropped = False

    def feed(self, text: str) -> str:
        """The part of the text so far that is known to be no thought, and was not returned before."""
        if self.passing:
            return text
        self._held += text
        while self._held:
            if self._thinking:
                end = self._held.find(_CLOSE)
                if end < 0:
                    # Half of the closing tag may have arrived.
                    self._held = self._held[1 - len(_CLOSE) :]
                    return ""
                self._held, self._thinking, self._dropped = self._held[end + len(_CLOSE) :], False, True
            start = self._held.lstrip()
            if start.startswith(_OPEN):
                self._held, self._thinking = start[len(_OPEN) :], True
            elif _OPEN.startswith(start) and len(self._held) <= _MAX_SPACE:
                return ""  # more text must decide
            else:
                return self._pass()
        return ""

    @property
    def thought(self) -> bool:
        """Whether the text began with thoughts."""
        return self._thinking or self._dropped

    def end(self) -> str:
        """The text is complete: what was held back and is no thought."""
        return "" if self._thinking or self.passing else self._pass()

    def _pass(self) -> str:
        self.passing = True
        held, self._held = self._held, ""
        return held.lstrip() if self._dropped else held
