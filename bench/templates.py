"""Loading many templates, rendering large ones, and the delay of an edit. The first two need no server.

.venv/bin/python -m bench.templates
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.rig import ROOT, end_on_signals, machine
from bench.subjects import OURS, Server
from llm_service.adapters.prompty.folder import PromptFolder
from llm_service.core.templates.model import Template

SHELF = sorted((ROOT / "prompts").glob("*.prompty"))
WIDE = (
    "---\nname: Wide\ninputs:\n  - {name: input, kind: string, required: true, maxLength: 1000000}\n"
    + "".join(f"  - {{name: p{n}, kind: string, default: x, enumValues: [x, y]}}\n" for n in range(25))
    + "".join(f"  - {{name: q{n}, kind: integer, default: 1, minimum: 0, maximum: 9}}\n" for n in range(24))
    + "---\nuser:\n{{ input }}"
    + "".join(f" {{{{ p{n} }}}}" for n in range(25))
    + "".join(f" {{{{ q{n} }}}}" for n in range(24))
    + "\n"
)


def main() -> None:
    end_on_signals()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        loading(Path(folder))
        rendering(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        arriving(Path(folder))


def loading(folder: Path) -> None:
    copy_templates(folder, 200)
    print(f"load 200 templates with their tests: {milliseconds(lambda: prompts(folder).load(), 5):.0f} ms")
    known = prompts(folder)
    known.load()
    print(f"look at 200 files:                   {milliseconds(known.changed, 50):.2f} ms")
    print(f"load again, nothing changed:         {milliseconds(known.load, 20):.2f} ms")


def copy_templates(folder: Path, count: int) -> None:
    """The shipped templates repeatedly, with their tests."""
    for number in range(count):
        source = SHELF[number % len(SHELF)]
        (folder / f"{source.stem.rpartition('_v')[0]}_{number}_v1.prompty").write_bytes(source.read_bytes())


def rendering(folder: Path) -> None:
    (folder / "wide_v1.prompty").write_text(WIDE)
    templates = prompts(folder).load()
    wide = templates.get("wide_v1")
    values: dict[str, object] = {parameter.name: parameter.default for parameter in wide.parameters}
    chat = next(template for template in templates if template.template_id.startswith("basic_chat"))
    for name, template, text, parameters in (
        ("basic_chat, 300 characters", chat, "word " * 60, {"tone": "simple"}),
        ("50 inputs, 300 characters", wide, "word " * 60, values),
        ("50 inputs, a million characters", wide, "x" * 1_000_000, values),
    ):
        print(f"check and render {name:32} {render_ms(template, text, parameters):.3f} ms")


def arriving(folder: Path) -> None:
    """From saving a file to the first response with it, over HTTP."""
    source = (ROOT / "prompts" / "summarize_v1.prompty").read_text()
    file = folder / "summarize_v1.prompty"
    file.write_text(source)
    with OURS.settled(environ={"APP_PROMPTS_DIR": str(folder)}) as server:
        waits = []
        for number in range(10):
            before = revision(server)
            file.write_text(source.replace("five short", f"{number} short"))
            saved = time.perf_counter()
            while revision(server) == before:
                time.sleep(0.005)
            waits.append(time.perf_counter() - saved)
        print(f"an edit arrives after: median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s")


def prompts(folder: Path) -> PromptFolder:
    return PromptFolder(folder, default_max_chars=5000)


def revision(server: Server) -> str:
    return str(json.loads(server.get("/api/v1/templates/summarize"))["revision"])


def render_ms(template: Template, text: str, parameters: Mapping[str, object]) -> float:
    return milliseconds(lambda: template.render(text, parameters), 200)


def milliseconds(function: Callable[[], object], rounds: int) -> float:
    """Median of single calls."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
