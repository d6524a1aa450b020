"""`flask templates`."""

import codecs
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from flask.cli import AppGroup

from llm_service.adapters.prompty.folder import MAX_PROMPT_FILE_BYTES
from llm_service.adapters.prompty.importing.faults import Fault, ImportRefused
from llm_service.adapters.prompty.importing.importer import Imported, import_prompty
from llm_service.adapters.strict_yaml import FileFormatError
from llm_service.adapters.text_file import decode, read_bytes
from llm_service.bootstrap.resources import load_templates
from llm_service.core.templates.self_tests import failures

from .context import current_settings
from .errors import cli_errors

templates = AppGroup("templates", help="The prompt files.")


@templates.command("check")
def check_templates() -> None:
    """Read all prompt files and run their tests. Prints file:line of each fault and exits with code 1."""
    with cli_errors():
        found = load_templates(current_settings()).current
    click.echo(f"Templates: {len(found)} valid. Tests: {sum(len(template.tests) for template in found)} passed.")


@templates.command("list")
def list_templates() -> None:
    """Print the id, revision and name of each template."""
    with cli_errors():
        for template in load_templates(current_settings(), run_tests=False).current:
            click.echo(f"{template.template_id:32} {template.revision}  {template.name}")


@templates.command("test")
@click.argument("template_id", metavar="[ID]", required=False)
def test_templates(template_id: str | None) -> None:
    """Run the tests in the prompt files, of all templates or of ID. No model is called. Exits with code 1 if one fails."""
    with cli_errors():
        found = load_templates(current_settings(), run_tests=False).current
        chosen = list(found) if template_id is None else [found.get(template_id)]
    ran = failed = 0
    for template in chosen:
        for test in template.tests:
            faults = failures(template, test)
            click.echo(f"{'FAIL' if faults else 'ok':4} {template.template_id}: {test.name}")
            for fault in faults:
                click.echo(f"     {template.template_id}.prompty:{test.line}: {fault}")
            ran, failed = ran + 1, failed + bool(faults)
    click.echo(f"Tests: {ran - failed} passed, {failed} failed.")
    if failed:
        sys.exit(1)


@templates.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Instead of APP_PROMPTS_DIR.")
@click.option("--input", "main", metavar="NAME", help="The variable that becomes the main text, input.")
@click.option("--replace", is_flag=True, help="Overwrite files that exist.")
def import_templates(files: tuple[Path, ...], folder: Path | None, main: str | None, *, replace: bool) -> None:
    """Make templates of public .prompty files, and list what was dropped. Exits with code 1 if a file is refused."""
    folder = folder or current_settings().prompts_dir
    written: dict[Path, Path] = {}
    refused = 0
    for file in files:
        try:
            imported = import_prompty(file.stem, _read(file), main=main, choose=lambda names: _ask(file, names))  # noqa: B023
            target = folder / f"{imported.template_id}.prompty"
            _write(target, imported, written, replace=replace)
        except ImportRefused as error:
            refused += 1
            for fault in error.faults:
                place = f"{file}:{fault.line}" if fault.line else str(file)
                click.echo(f"{place}: {fault.message}. {fault.remedy[0].upper()}{fault.remedy[1:]}.", err=True)
        else:
            written[target] = file
            _tell(file, target, imported)
    click.echo(f"Files: {len(written)} imported, {refused} refused.")
    if refused:
        sys.exit(1)


def _read(file: Path) -> str:
    """With \\n as the end of each line, and without a byte order mark."""
    try:
        data = read_bytes(file, MAX_PROMPT_FILE_BYTES)
        return decode(data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    except OSError as error:
        raise ImportRefused([Fault(0, f"cannot be read: {error.strerror}", "check the file")]) from error
    except FileFormatError as error:
        raise ImportRefused([Fault(error.line, error.message, "save it as text in UTF-8")]) from error


def _write(target: Path, imported: Imported, written: dict[Path, Path], *, replace: bool) -> None:
    if target in written:
        fault = Fault(0, f"would be {target.name}, as {written[target]}", "import it alone with --to, or rename it")
        raise ImportRefused([fault])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w" if replace else "x", encoding="utf-8") as file:
            file.write(imported.text)
    except FileExistsError as error:
        raise ImportRefused(
            [Fault(0, f"{target} exists", "overwrite it with --replace, or rename the file")]
        ) from error
    except OSError as error:
        raise ImportRefused([Fault(0, f"{target} cannot be written: {error.strerror}", "check the folder")]) from error


def _ask(file: Path, names: Sequence[str]) -> str | None:
    try:
        answer: str = click.prompt(f"{file}: which input is the main text?", type=click.Choice(names), err=True)
    except click.Abort:
        click.echo(err=True)  # the question has no end of line
        return None
    return answer


def _tell(file: Path, target: Path, imported: Imported) -> None:
    click.echo(f"{file} -> {target}")
    for note in imported.notes:
        click.echo(f"  {note}")
    for warning in imported.warnings:
        click.echo(f"  warning: {warning}")
