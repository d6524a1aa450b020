"""From a request to what would be sent."""

from dataclasses import replace

from tests.support.fakes import ScriptedProvider
from tests.support.world import ASKED, WORD, World


def test_options_and_model_are_sent() -> None:
    world = World(ScriptedProvider(*WORD), max_output_tokens=50)
    world.run(replace(ASKED, model="m2"))
    (call,) = world.provider.calls  # type: ignore[attr-defined]
    assert (call.model, call.options) == ("m2", {"max_output_tokens": 50})
