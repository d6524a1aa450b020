"""Wake-ups between the "processes" of one test, without a server: each message arrives before `send` returns."""

from llm_service.core.wake_ups import ANY, Handler, Topic


class Wire:
    """Keeps every message in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[Topic, str]] = []
        self._processes: list[WiredProcess] = []

    def process(self) -> "WiredProcess":
        self._processes.append(process := WiredProcess(self))
        return process

    def carry(self, sender: "WiredProcess", topic: Topic, about: str) -> None:
        self.sent.append((topic, about))
        for process in self._processes:
            if process is not sender:
                process.hear(topic, about)


class WiredProcess:
    """Satisfies `WakeUps`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._handlers: list[tuple[Topic, Handler]] = []

    def send(self, topic: Topic, about: str = ANY) -> None:
        self._wire.carry(self, topic, about)

    def on(self, topic: Topic, handler: Handler) -> None:
        self._handlers.append((topic, handler))

    def hear(self, topic: Topic, about: str = ANY) -> None:
        for wanted, handler in self._handlers:
            if wanted is topic:
                handler(about)
