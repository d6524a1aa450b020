"""The strict reader: what it takes, and for each fault the line that it names.

Longer than other modules: a third of it is the table of faults.
"""

import json
import mmap
import os
from contextlib import suppress
from pathlib import Path

import pytest

from llm_service.adapters.prompty.folder import MAX_PROMPT_FILE_BYTES, PromptFolder
from llm_service.adapters.prompty.parser import parse_prompty
from llm_service.adapters.strict_yaml import FileFormatError
from llm_service.core.templates.model import Template
from llm_service.core.templates.ports import TemplateFaults
from llm_service.core.templates.properties import PropertyKind
from llm_service.core.templates.registry import TemplateRegistry
from tests.support.builders import messages_of
from tests.support.clocks import HandTimer
from tests.support.templates import RecordingTemplateReporter, registry_of

GOOD = """---
name: Test
description: For tests.
model:
  id: gpt-4o
  options:
    temperature: 0.5
    maxOutputTokens: 100
inputs:
  - name: input
    kind: string
    required: true
  - name: lines
    kind: integer
    default: 3
    minimum: 1
    maximum: 9
---
system:
Write {{ lines }} lines.

user:
{{ input }}
"""
HEAD = "---\nname: T\ninputs:\n  - name: input\n    kind: string\n    required: true\n"


def parse(text: str) -> Template:
    return parse_prompty("test_v1", text, default_max_chars=5000)


def test_a_good_file() -> None:
    template = parse(GOOD)
    assert (template.name, template.description, template.model) == ("Test", "For tests.", "gpt-4o")
    assert template.options == {"temperature": 0.5, "max_output_tokens": 100}
    assert [declared.kind for declared in template.inputs] == [PropertyKind.STRING, PropertyKind.INTEGER]
    assert template.main_input.max_length == 5000
    assert template.render("Hello", {"lines": 2}) == messages_of("Write 2 lines.", "Hello")
    assert template.render("Hello", {}) == messages_of("Write 3 lines.", "Hello")


def test_the_options_that_callers_may_set() -> None:
    assert parse(GOOD).overridable == ()
    text = GOOD.replace("---\nsystem:", "metadata: {overridable: [max_output_tokens, temperature]}\n---\nsystem:")
    assert parse(text).overridable == ("max_output_tokens", "temperature")
    assert parse(text).revision != parse(GOOD).revision


def test_the_revision_follows_the_content_alone() -> None:
    same = GOOD.replace("name: Test", "# a comment\nname:   'Test'")
    other = [GOOD.replace("lines.", "rows."), GOOD.replace("0.5", "0.6"), GOOD.replace("For tests.", "More.")]
    assert parse(same).revision == parse(GOOD).revision
    assert len({parse(text).revision for text in [GOOD, *other]}) == 4
    assert len(parse(GOOD).revision) == 12


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "front matter"),
        ("name: x\n", 1, "front matter"),
        ("---\n---\nuser:\nx", 2, "empty"),
        ("---\n- a\n---\nuser:\nx", 2, "mapping"),
        ("---\nname: [\n---\nuser:\nx", 3, "YAML"),
        (HEAD.replace("name: T", "name: 3") + "---\nuser:\nx", 2, "text"),
        (HEAD + "nmae: y\n---\nuser:\nx", 7, "nmae"),
        (HEAD + "name: again\n---\nuser:\nx", 7, "twice"),
        (HEAD + "on: x\n---\nuser:\nx", 7, "quotes"),
        (HEAD + "description: !!python/object/apply:os.system [ls]\n---\nuser:\nx", 7, "type"),
        (HEAD + "description: 2020-01-01\n---\nuser:\nx", 7, "quotes"),
        (HEAD + "model: {id: &a x}\ndescription: *a\n---\nuser:\nx", 8, "alias"),
        (HEAD + "model: {id: x, connection: y}\n---\nuser:\nx", 7, "connection"),
        (HEAD + "model: {options: {temperature: 3}}\n---\nuser:\nx", 7, "between"),
        (HEAD + "model: {options: {temperature: .nan}}\n---\nuser:\nx", 7, "between"),
        (HEAD + "model: {options: {maxOutputTokens: 1.5}}\n---\nuser:\nx", 7, "integer"),
        (HEAD + "model: {options: {topK: 3}}\n---\nuser:\nx", 7, "topK"),
        ("---\nname: T\n---\nuser:\nx", 2, "inputs"),
        ("---\nname: T\ninputs: []\n---\nuser:\nx", 3, "main text"),
        (HEAD + "  - name: input\n    kind: string\n---\nuser:\nx", 7, "twice"),
        (HEAD + "  - name: Bad\n    kind: string\n---\nuser:\nx", 7, "lowercase letters"),
        (HEAD + "  - name: a\n    kind: text\n---\nuser:\nx", 8, "kind"),
        (HEAD + "  - name: a\n    kind: [string]\n---\nuser:\nx", 8, "kind must be one of"),
        (HEAD + "  - name: a\n    kind: string\n    min: 3\n---\nuser:\nx", 9, "min"),
        (HEAD + "  - name: a\n    kind: string\n    minimum: 3\n---\nuser:\nx", 9, "not allowed"),
        (HEAD + "  - name: a\n    kind: integer\n    default: x\n---\nuser:\nx", 9, "integer"),
        (HEAD + "  - name: a\n    kind: integer\n    default: 3\n    maximum: 2\n---\nuser:\nx", 9, "at most"),
        (HEAD + "  - name: a\n    kind: string\n    enumValues: [b]\n    example: c\n---\nuser:\nx", 10, "one of"),
        (HEAD + "  - name: a\n    kind: string\n    required: true\n    default: c\n---\nuser:\nx", 10, "cannot have a default"),
        (HEAD + "  - name: a\n    kind: string\n    pattern: '('\n---\nuser:\nx", 9, "regular expression"),
        (HEAD + "  - name: a\n    kind: string\n    pattern: '^[0-9]{4}$'\n---\nuser:\nx", 7, "needs an example"),
        (HEAD + "  - name: a\n    kind: integer\n    minimum: 3\n    maximum: 2\n---\nuser:\nx", 9, "is greater"),
        (HEAD + "  - name: a\n    kind: integer\n    enumValues: [1, x]\n---\nuser:\nx", 9, "integer"),
        (HEAD + "  - name: a\n    kind: string\n    default: \"a\\0b\"\n---\nuser:\nx", 9, "NUL"),
        (HEAD + "  - name: a\n    kind: string\n    enumValues: [\"a\\0b\"]\n---\nuser:\nx", 9, "NUL"),
        (HEAD + "  - name: a\n    kind: object\n    default: {x: .inf}\n---\nuser:\nx", 9, "finite"),
        (HEAD + "  - name: a\n    kind: array\n    example: [.nan]\n---\nuser:\nx", 9, "finite"),
        (HEAD + "outputs:\n  - {name: a, kind: string, example: \"a\\0b\"}\n---\nuser:\nx", 8, "NUL"),
        (HEAD + "  - name: a\n    kind: float\n    maximum: .inf\n---\nuser:\nx", 9, "a number"),
        (HEAD + "  - name: a\n    kind: string\n    pattern: '(?i)^x$'\n---\nuser:\nx", 9, "JavaScript"),
        (HEAD + "  - name: a\n    kind: string\n    pattern: '(a)\\1'\n---\nuser:\nx", 9, "regular expression"),
        (HEAD + "  - name: a\n    kind: string\n    enumValues: [b, b]\n---\nuser:\nx", 9, "twice"),
        (HEAD + "  - name: a\n    kind: string\n    enumValues: [b]\n    maxLength: 3\n---\nuser:\nx", 10, "no effect"),
        (HEAD + "model: ''\n---\nuser:\nx", 7, "empty"),
        (HEAD + "model: a>\n---\nuser:\nx", 7, "no name before or after"),
        (HEAD + "model: {id: 'a>b>a'}\n---\nuser:\nx", 7, "names a model twice"),
        (HEAD + "  - name: loop\n    kind: integer\n---\nuser:\nx", 7, "needs a name"),
        (HEAD + "  - name: a\n    kind: string\n    items: {kind: string}\n---\nuser:\nx", 9, "not allowed"),
        (HEAD + "  - name: a\n    kind: array\n    minItems: -1\n---\nuser:\nx", 9, "at least 0"),
        (HEAD + "  - name: a\n    kind: array\n    items: {kind: string, default: x}\n---\nuser:\nx", 9, "default"),
        (HEAD + "  - name: a\n    kind: string\n    nullable: true\n---\nuser:\nx", 9, "nullable"),
        (HEAD + "outputs: []\n---\nuser:\nx", 7, "list of properties"),
        (HEAD + "outputs:\n  - {name: a, kind: array}\n---\nuser:\nx", 8, "needs items"),
        (HEAD + "outputs:\n  - {name: a, kind: object}\n---\nuser:\nx", 8, "needs properties"),
        (HEAD + "outputs:\n  - {name: a, kind: string, default: x}\n---\nuser:\nx", 8, "default"),
        (HEAD + "outputs:\n  - {name: a, kind: string}\n  - {name: a, kind: string}\n---\nuser:\nx", 9, "twice"),
        (HEAD + "metadata: {authors: [me]}\n---\nuser:\nx", 7, "authors"),
        (HEAD + "metadata: {overridable: temperature}\n---\nuser:\nx", 7, "must be a list"),
        (HEAD + "metadata:\n  overridable:\n    - temperature\n    - topP\n---\nuser:\nx", 10, "can only contain temperature, max_output_tokens"),
        (HEAD + "metadata:\n  overridable: [temperature, 3]\n---\nuser:\nx", 8, "can only contain"),
        (HEAD + "metadata:\n  overridable: [temperature, temperature]\n---\nuser:\nx", 8, "twice"),
        (HEAD + "metadata: {tests: x}\n---\nuser:\nx", 7, "must be a list"),
        (HEAD + "metadata:\n  tests:\n    - inputs: {}\n---\nuser:\nx", 9, "needs a name"),
        (HEAD + "metadata:\n  tests:\n    - name: t\n---\nuser:\nx", 9, "expects nothing"),
        (HEAD + "metadata:\n  tests:\n    - {name: t, expect: {usr: x}}\n---\nuser:\nx", 9, "usr"),
        (HEAD + "metadata:\n  tests:\n    - {name: t, expect: {output: x}}\n---\nuser:\nx", 9, "no outputs"),
        (HEAD + "metadata:\n  tests:\n    - {name: t, expect: {user: {contains: 3}}}\n---\nuser:\nx", 9, "texts"),
        (HEAD + "metadata:\n  tests:\n    - {name: t, expect: {refused: [], user: x}}\n---\nuser:\nx", 9, "both refused values and"),
        (HEAD + "metadata:\n  tests:\n    - {name: t, expect: {user: x}}\n    - {name: t, expect: {user: x}}\n---\nuser:\nx", 10, "two tests"),
        (HEAD + "---\n\nHello\nuser:\nx", 9, "before the first section"),
        (HEAD + "---\nsystem:\nx", 8, "user: section"),
        (HEAD + "---\nuser:\n\n", 8, "user: section"),
        (HEAD + "---\nuser:\nx\nuser:\ny", 10, "twice"),
        (HEAD + "---\nuser:\nx\nassistant:\ny", 10, "assistant"),
        (HEAD + "---\nuser:\nx\nfunction:\ny", 10, "function"),
        (HEAD + "---\n\nsystem[name=\"Ann\", temperature=0.5]:\nx\nuser:\ny", 9, "attributes are not supported: write system:"),
        (HEAD + "---\nuser:\nx\n# System [a]:\ny", 10, "attributes are not supported: write system:"),
        (HEAD + "---\nuser:\nx\x0cassistant:\ny", 9, "assistant"),
        (HEAD + "---\n\nSysem:\nx\nuser:\ny", 9, "before the first section"),
        ("\n \n" + HEAD + "nmae: y\n---\nuser:\nx", 9, "nmae"),
        ("\n" + HEAD + "---\nuser:\n\nHi {{ nope }}", 11, "nope"),
        (HEAD + "---\nuser:\n\n\nHi {{ nope }}", 11, "nope"),
        (HEAD + "---\nuser:\nHi\n{{ input", 10, ""),
        (HEAD + "---\nuser:\nHi\n{% include '/etc/passwd' %}", 10, "include"),
        (HEAD + "---\nuser:\n{{ cycler.__init__.__globals__ }}", 9, ""),
        (HEAD + "---\nuser:\n{{ 'a' * 100000000 }}", 9, "mul"),
        (HEAD + "---\nuser:\n{% for a in input %}{% for b in input %}x{% endfor %}{% endfor %}", 9, "loop"),
        (HEAD + "---\nuser:\n{{ input.__class__ }}", 9, "__class__"),
        (HEAD + "---\nuser:\n{{ input.upper() }}", 9, "call"),
        (HEAD + "---\nuser:\n{{ input | attr('x') }}", 9, "attr"),
    ],
)  # fmt: skip
def test_a_broken_file_names_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(FileFormatError) as raised:
        parse(text)
    assert (raised.value.line, words in raised.value.message) == (line, True), raised.value.message


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10))
    with pytest.raises(FileFormatError, match="alias"):
        parse(f"---\nname: T\nl0: &l0 [x]\n{levels}\n---\nuser:\nx")


def faults_of(folder: Path) -> list[str]:
    with pytest.raises(TemplateFaults) as raised:
        PromptFolder(folder, default_max_chars=5000).load()
    return [str(fault).replace(f"{folder}/", "") for fault in raised.value.faults]


def test_all_faults_of_a_folder_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "good_v1.prompty").write_text(GOOD)
    (tmp_path / "bad_v1.prompty").write_text("x")
    (tmp_path / "latin_v1.prompty").write_bytes(GOOD.replace("Write", "Schöne").encode("latin-1"))
    (tmp_path / "bom_v1.prompty").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    (tmp_path / "nul_v1.prompty").write_text(GOOD + "\x00")
    (tmp_path / "Upper.prompty").write_text(GOOD)
    (tmp_path / "big_v1.prompty").write_text("x" * (MAX_PROMPT_FILE_BYTES + 1))
    (tmp_path / "link_v1.prompty").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe_v1.prompty")
    found = {fault.split(".prompty")[0]: fault for fault in faults_of(tmp_path)}
    expected = {
        "bad_v1": "prompty:1: ",
        "latin_v1": "prompty:20: is not UTF-8",
        "bom_v1": "prompty:1: begins with a byte order mark",
        "nul_v1": "prompty:24: contains a NUL",
        "Upper": "lowercase letters",
        "big_v1": "256 KiB",
        "link_v1": "link to a file outside the folder",
        "pipe_v1": "not a regular file",
    }
    assert found.keys() == expected.keys()
    assert [name for name, words in expected.items() if words not in found[name]] == []


def test_no_folder_and_no_file_are_faults(tmp_path: Path) -> None:
    assert "does not exist" in faults_of(tmp_path / "nowhere")[0]
    assert "contains no readable .prompty file" in faults_of(tmp_path)[0]


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    for name in ("a_v1", "b_v1"):
        (tmp_path / f"{name}.prompty").write_text(GOOD)
    folder = PromptFolder(tmp_path, default_max_chars=5000)
    before = folder.load()
    assert not folder.changed()
    (tmp_path / "b_v1.prompty").write_text(GOOD.replace("name: Test", "name: Other"))
    assert folder.changed()
    after = folder.load()
    assert after.get("a_v1") is before.get("a_v1")
    assert (before.get("b_v1").name, after.get("b_v1").name) == ("Test", "Other")
    assert not folder.changed()


@pytest.mark.parametrize("change", ["new", "gone", "replaced", "same size and time"])
def test_every_way_to_change_is_seen(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a_v1.prompty"
    file.write_text(GOOD)
    (tmp_path / "b_v1.prompty").write_text(GOOD)
    folder = PromptFolder(tmp_path, default_max_chars=5000)
    folder.load()
    if change == "new":
        (tmp_path / "c_v1.prompty").write_text(GOOD)
    elif change == "gone":
        file.unlink()
    elif change == "replaced":
        (tmp_path / "draft").write_text(GOOD)
        (tmp_path / "draft").rename(file)
    else:
        times = file.stat()
        file.write_text(GOOD.replace("lines.", "texts."))
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert folder.changed()


class MappedFile:
    """A prompt file that is written through a mapping of memory.

    The first write to a page sets the file's times, further ones do not: as two writes within one tick of its clock.
    """

    def __init__(self, path: Path, content: str) -> None:
        path.write_text(content)
        self.path = path
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._memory[:1] = self._memory[:1]

    def rewrite(self, old: str, new: str) -> None:
        """In place and with the same length."""
        before = self.path.stat()
        start = self._memory.find(old.encode())
        self._memory[start : start + len(old)] = new.encode()
        after = self.path.stat()
        assert (before.st_ctime_ns, before.st_mtime_ns) == (after.st_ctime_ns, after.st_mtime_ns), (
            "its times are the same"
        )
        assert new in self.path.read_text()


@pytest.mark.parametrize("content", [GOOD, GOOD.replace("---", "- -", 1)], ids=["good", "broken"])
@pytest.mark.parametrize("dated_back", [False, True])
def test_a_second_write_within_a_tick_is_seen(tmp_path: Path, content: str, dated_back: bool) -> None:
    """Also of a file whose time was set, as copying programs do, and of one that was broken."""
    (tmp_path / "b_v1.prompty").write_text(GOOD)
    file = MappedFile(tmp_path / "a_v1.prompty", content)
    if dated_back:
        os.utime(file.path, ns=(10**18, 10**18))
    folder = PromptFolder(tmp_path, default_max_chars=5000, timer=HandTimer(file.path.stat().st_ctime))
    with suppress(TemplateFaults):
        folder.load()
    assert not folder.changed()
    file.rewrite("- -\n" if content != GOOD else "lines.", "---\n" if content != GOOD else "texts.")
    assert folder.changed()
    after = folder.load()
    assert "texts" in after.get("a_v1").source or content != GOOD
    assert not folder.changed()


def test_a_file_that_has_settled_is_not_read_again(tmp_path: Path) -> None:
    """However late the first look at it comes, there is one after it has settled. Then only a new time counts."""
    file = MappedFile(tmp_path / "a_v1.prompty", GOOD)
    timer = HandTimer(file.path.stat().st_ctime)
    folder = PromptFolder(tmp_path, default_max_chars=5000, timer=timer)
    folder.load()
    timer.now += 60
    file.rewrite("lines.", "texts.")
    assert folder.changed(), "nobody had looked since it was read"
    assert "texts." in folder.load().get("a_v1").source
    file.rewrite("texts.", "words.")
    assert not folder.changed(), "no program can write so late in the same tick: it is not read"
    os.utime(file.path)
    assert folder.changed()
    assert "words." in folder.load().get("a_v1").source


def test_what_editors_leave_lying_about_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a_v1.prompty").write_text(GOOD)
    (tmp_path / ".#a_v1.prompty").symlink_to("nobody@nowhere")
    (tmp_path / ".a_v1.prompty.swp").write_bytes(b"\x00")
    (tmp_path / "a_v1.prompty~").write_text("old")
    assert PromptFolder(tmp_path, default_max_chars=5000).load().ids == ["a_v1"]


def test_a_file_whose_own_test_fails_is_a_fault_of_its_line(tmp_path: Path) -> None:
    tests = "metadata:\n  tests:\n    - name: t\n      inputs: {input: Hi}\n      expect: {user: Bye}\n---\nsystem"
    (tmp_path / "a_v1.prompty").write_text(GOOD.replace("---\nsystem", tests))
    assert faults_of(tmp_path) == ["a_v1.prompty:20: its test 't' fails: the user message is 'Hi', expected 'Bye'"]
    assert len(PromptFolder(tmp_path, default_max_chars=5000, run_tests=False).load()) == 1


class BrokenFolder(PromptFolder):
    """Its reader has a bug."""

    def _read(self, path: Path) -> Template:
        raise ZeroDivisionError


def test_an_error_of_the_readers_own_is_a_fault_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a_v1.prompty").write_text(GOOD)
    (tmp_path / "b_v1.prompty").write_text("x")
    with pytest.raises(TemplateFaults) as raised:
        BrokenFolder(tmp_path, default_max_chars=5000).load()
    assert [fault.shown for fault in raised.value.faults] == [
        f"{name}_v1.prompty: cannot be read because of an internal error (ZeroDivisionError)" for name in "ab"
    ]


def test_the_last_good_set_outlives_the_process(tmp_path: Path) -> None:
    folder, kept = tmp_path / "prompts", tmp_path / "kept.json"
    folder.mkdir()
    (folder / "a_v1.prompty").write_text(GOOD)
    first = TemplateRegistry(
        PromptFolder(folder, default_max_chars=5000, kept=kept), RecordingTemplateReporter(), falls_back=True
    )
    (folder / "a_v1.prompty").write_text("broken")
    with pytest.raises(TemplateFaults):
        registry_of(folder)
    heard = RecordingTemplateReporter()
    later = TemplateRegistry(PromptFolder(folder, default_max_chars=5000, kept=kept), heard, falls_back=True)
    assert later.current.get("a_v1").revision == first.current.get("a_v1").revision
    assert [fault.shown for fault in later.faults] == [
        "a_v1.prompty:1: must begin with front matter between two lines of ---"
    ]
    assert heard.refusals
    (folder / "a_v1.prompty").write_text(GOOD.replace("lines.", "texts."))
    later.refresh()
    assert later.faults == ()
    assert "texts" in json.loads(kept.read_text())["a_v1"]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_where_nothing_can_be_kept_the_service_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a_v1.prompty").write_text(GOOD)
    heard = RecordingTemplateReporter()
    folder = PromptFolder(tmp_path, default_max_chars=5000, kept=tmp_path / "nowhere" / "kept.json")
    assert TemplateRegistry(folder, heard, falls_back=True).current.ids == ["a_v1"]
    assert len(heard.unkept) == 1
