"""`APP_FIRST_KEY_FILE`: a service starts closed, with a key that nobody had to make."""

import os
import threading
from pathlib import Path

import pytest

from llm_service.bootstrap.errors import StartError
from llm_service.bootstrap.first_key import make_first_key
from llm_service.bootstrap.resources import open_keyring
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings
from llm_service.core.access.caller import Scope
from llm_service.core.access.keys import Key, make_key


def settings_of(folder: Path, file: str = "key") -> Settings:
    return Settings.from_env({"DATABASE_URL": f"sqlite:///{folder}/h.db", "APP_FIRST_KEY_FILE": str(folder / file)})


def keys_of(folder: Path) -> list[Key]:
    with open_keyring(settings_of(folder)) as keyring:
        return list(keyring.all())


def works(folder: Path, text: str) -> bool:
    with open_keyring(settings_of(folder)) as keyring:
        return isinstance(keyring.find(text), Key)


def test_a_key_with_all_scopes_is_made_and_written_and_told_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        make_first_key(settings_of(tmp_path))
    text = (tmp_path / "key").read_text().strip()
    (key,) = keys_of(tmp_path)
    assert (key.owner, key.scopes, key.state(0)) == ("admin", frozenset(Scope), "usable")
    assert works(tmp_path, text)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir() if "key" in path.name) == ["key"]


def test_the_key_in_the_file_is_taken(tmp_path: Path) -> None:
    text, key_id = make_key(os.urandom)
    (tmp_path / "key").write_text(f"\n {text} \n")
    make_first_key(settings_of(tmp_path))
    assert [key.key_id for key in keys_of(tmp_path)] == [key_id]
    assert works(tmp_path, text)


def test_a_key_that_was_written_before_the_process_died_is_stored_at_the_next_start(tmp_path: Path) -> None:
    make_first_key(settings_of(tmp_path))
    text = (tmp_path / "key").read_text()
    (tmp_path / "h.db").unlink()
    make_first_key(settings_of(tmp_path))
    assert (tmp_path / "key").read_text() == text
    assert works(tmp_path, text.strip())


@pytest.mark.parametrize("is_revoked", [False, True])
def test_where_a_key_exists_the_file_is_neither_read_nor_written(tmp_path: Path, is_revoked: bool) -> None:
    """Not even the one of a revoked key: it would be valid again."""
    with open_keyring(settings_of(tmp_path)) as keyring:
        _, key = keyring.make("alice", frozenset(Scope))
        if is_revoked:
            keyring.revoke(key.key_id)
    make_first_key(settings_of(tmp_path))
    assert not (tmp_path / "key").exists()
    (tmp_path / "key").write_text("this is no key")
    make_first_key(settings_of(tmp_path))
    assert len(keys_of(tmp_path)) == 1


@pytest.mark.parametrize("content", ["", "hunter2", "{text}x", "{text} {text}", "é", "llms_" + "x" * 5000])
def test_a_file_without_a_valid_key_stops_the_start(tmp_path: Path, content: str) -> None:
    text, _ = make_key(os.urandom)
    written = content.format(text=text)
    (tmp_path / "key").write_text(written)
    with pytest.raises(StartError, match=f"^APP_FIRST_KEY_FILE: {tmp_path}/key contains no valid API key") as caught:
        make_first_key(settings_of(tmp_path))
    assert caught.value.exit_code == EXIT_CONFIG
    assert not written or written not in str(caught.value)
    assert keys_of(tmp_path) == []


def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for file, why in (
        ("missing/key", "cannot be written: No such"),
        ("folder", "is not a regular file"),
        ("pipe", "is not a regular file"),
    ):
        with pytest.raises(StartError, match=why):
            make_first_key(settings_of(tmp_path, file))
    assert keys_of(tmp_path) == []


@pytest.mark.parametrize("files", [1, 4])
def test_nodes_that_start_at_once_all_have_a_key_that_works(tmp_path: Path, files: int) -> None:
    keys_of(tmp_path)  # migrates
    errors: list[BaseException] = []
    together = threading.Barrier(4)

    def start(number: int) -> None:
        together.wait()
        try:
            make_first_key(settings_of(tmp_path, f"key-{number % files}"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    written = [path.read_text().strip() for path in tmp_path.glob("key-*")]
    assert 1 <= len(written) == len(keys_of(tmp_path)) <= files
    assert all(works(tmp_path, text) for text in written)
