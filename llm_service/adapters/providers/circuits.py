"""The circuit breakers of one provider: one for each of its models, and one for the connection to it.

A model that fails must not close the others, so what an answer says of a model counts against that model only. That no
connection can be made says nothing about a model; it counts against the provider, and then none of its models is called.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .circuit_breaker import CLOSED, DEFAULT_RULES, BreakerRules, CircuitBreaker, worst


@dataclass(frozen=True, slots=True)
class Attempt:
    """An admitted attempt: exactly one of its methods is called when its result is known.

    `probes_model`, `probes_connection`: it is the probe of that breaker.
    """

    model: CircuitBreaker
    connection: CircuitBreaker
    probes_model: bool = False
    probes_connection: bool = False

    def answered(self) -> None:
        if self.probes_connection:
            self._connected()
        self.model.record(failed=False, probe=self.probes_model)

    def failed(self) -> None:
        """The provider was reached, and the model failed."""
        self._connected()
        self.model.record(failed=True, probe=self.probes_model)

    def postponed(self) -> None:
        """The provider was reached, and wants the call later."""
        self._connected()
        self.model.forget(probe=self.probes_model)

    def not_connected(self) -> None:
        self.model.forget(probe=self.probes_model)
        self.connection.record(failed=True, probe=self.probes_connection)

    def stopped(self) -> None:
        """It says nothing."""
        self.model.forget(probe=self.probes_model)
        self.connection.forget(probe=self.probes_connection)

    def _connected(self) -> None:
        # A good connection is counted with its model, so that an answer is counted once.
        if self.probes_connection:
            self.connection.record(failed=False, probe=True)


class Circuits:
    """Call `admit` before each attempt. Safe from threads and greenlets."""

    def __init__(self, timer: Callable[[], float], rules: BreakerRules = DEFAULT_RULES) -> None:
        """`rules`: of each breaker."""
        self._timer = timer
        self._rules = rules
        self._connection = CircuitBreaker(timer, elsewhere=self._connected, rules=rules)
        # What `admit` returns while nothing is wrong: one object for each model, not for each attempt.
        self._usual: dict[str, Attempt] = {}

    def admit(self, model: str) -> Attempt:
        """Raises `UpstreamUnavailable` if the model, or the provider, is not to be called now."""
        usual = self._usual.get(model)
        if usual is None:
            usual = self._usual.setdefault(model, self._first(model))
        if usual.model.open_until is None and self._connection.open_until is None:
            return usual
        probes_model = usual.model.admit()
        try:
            probes_connection = self._connection.admit()
        except Exception:
            usual.model.forget(probe=probes_model)
            raise
        return Attempt(usual.model, self._connection, probes_model, probes_connection)

    @property
    def state(self) -> str:
        """The worst of all."""
        return worst([self._connection.state, *self.states().values()])

    def states(self) -> Mapping[str, str]:
        """`closed`, `open` or `half-open`, for each model that was called."""
        connection = self._connection.state
        return {model: worst([connection, attempt.model.state]) for model, attempt in self._models()}

    def fault(self, names: Mapping[str, str]) -> str | None:
        """What an operator should know: that the provider or one of the models is not called; None if all are.

        `names`: what models are called that have another name here than at the provider.
        """
        if (state := self._connection.state) != CLOSED:
            return f"It fails; the circuit is {state}."
        faults = [(model, state) for model, state in self.states().items() if state != CLOSED]
        return (
            ", ".join(f"{names.get(model, model)} fails; its circuit is {state}" for model, state in faults) + "."
            if faults
            else None
        )

    def _models(self) -> list[tuple[str, Attempt]]:
        return list(self._usual.items())

    def _connected(self) -> int:
        return sum(attempt.model.attempts for _, attempt in self._models())

    def _first(self, model: str) -> Attempt:
        return Attempt(CircuitBreaker(self._timer, "The model", rules=self._rules), self._connection)
