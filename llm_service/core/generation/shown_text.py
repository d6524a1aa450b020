"""What a subscriber has shown of a growing text, which may begin anew: its call is repeated, or made by another process."""

from typing import Protocol

from ..errors import UpstreamTruncated


class GrowingText(Protocol):
    """Positions are code points."""

    @property
    def restarts(self) -> int:
        """How often it began anew."""
        ...

    def text_after(self, position: int) -> str: ...


class ShownText:
    """A subscriber goes on after a restart if the new text begins with what it has shown."""

    def __init__(self, text: GrowingText, after: int = 0) -> None:
        """`after`: so much was shown before. The text may not be as long yet."""
        self.position = after
        self._text = text
        self._restarts = text.restarts
        before = text.text_after(0)[:after] if after else ""
        # None: what was shown before is not known yet.
        self._shown: list[str] | None = [before] if len(before) == after else None

    @property
    def text(self) -> str | None:
        """None: it is not known."""
        return None if self._shown is None else "".join(self._shown)

    def more(self, *, over: bool, failed: bool = False) -> str:
        """What can be shown now; it counts as shown. `over`: no more comes; `failed`: because of an error.

        Raises `UpstreamTruncated` if the text began anew and is another one; not if it failed, because that error says more.
        """
        if (self._shown is None or self._text.restarts != self._restarts) and not self._goes_on(over, failed):
            return ""
        text = self._text.text_after(self.position)
        # It may have begun anew meanwhile. Then who waits for it is woken again.
        if not text or self._text.restarts != self._restarts:
            return ""
        self.position += len(text)
        assert self._shown is not None
        self._shown.append(text)
        return text

    def _goes_on(self, over: bool, failed: bool) -> bool:
        """Whether the text has come as far as what was shown, and begins with it."""
        restarts, text = self._text.restarts, self._text.text_after(0)
        if len(text) < self.position and not over:
            return False
        if self._shown is None:
            if len(text) < self.position:
                return False
            self._shown = [text[: self.position]]
        elif not text.startswith("".join(self._shown)):
            if failed:
                return False
            raise UpstreamTruncated("The answer was cut off and restarted for other callers.")
        self._restarts = restarts
        return True
