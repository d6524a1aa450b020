"""Wake-ups between processes: what each of them notices by looking now and then, it hears of at once.

A wake-up is a hint that it is time to look. It proves nothing, so nothing is done because of one that the next look would
not do. It may be lost, repeated, or come from nobody, and without any the service works as well, a second or two later.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

# Instead of an id: some may have been missed, so that all must be looked at.
ANY = ""
Handler = Callable[[str], object]
"""Gets the id of a message, or `ANY`. It must be quick, and not wait for the store: all are called one after the other."""


class Topic(StrEnum):
    """What happened, and which id a message has. An id is never a text, a key or a secret."""

    CANCEL = "cancel"
    """A generation was marked as cancelled: its request_id. `ANY`: rows of running ones were deleted."""
    WATCH = "watch"
    """Somebody waits for a generation of another process: its request_id."""
    ENDED = "ended"
    """A generation that somebody elsewhere waits for has its outcome: its request_id."""
    TEXT = "text"
    """Somebody wants to see the text of a generation of another process grow: its request_id."""
    CALL_TEXT = "call-text"
    """Likewise of a shared call that another process leads: its id."""
    KEYS = "keys"
    """An API key was made or revoked. No id."""
    CACHE = "cache"
    """The caches of all processes were cleared. No id."""
    TEMPLATES = "templates"
    """The prompt files have changed. No id."""
    PROVIDERS = "providers"
    """The providers file has changed. No id."""


class WakeUps(Protocol):
    """Messages to the other processes of the service. A process does not get its own."""

    def send(self, topic: Topic, about: str = ANY) -> None:
        """`about`: the id. Never raises, and waits for 100 ms at most: who sends it has more important things to do."""
        ...

    def on(self, topic: Topic, handler: Handler) -> None:
        """Call the handler, in the background, for each message of the others. Several may have the same topic.

        Only while the process is built. After messages may have been lost, it is called with `ANY`.
        """
        ...


class NoWakeUps:
    """Satisfies `WakeUps` where processes have nothing to send messages with."""

    def send(self, topic: Topic, about: str = ANY) -> None:
        """The others find out by looking."""

    def on(self, topic: Topic, handler: Handler) -> None:
        """No message will come."""

    def start(self) -> None:
        """There is nothing to listen to."""

    def close(self) -> None:
        """Nothing to close."""
