"""The development key of a project."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from jwt_lp import ConfigurationError
from jwt_lp.guard.development import PREFIX
from jwt_lp.guard.development_key import FOLDER, development_key, development_keys
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.tokens.verification import verify_signature


def file_of(folder: Path) -> Path:
    return folder / "development-key.json"


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    folder.mkdir(exist_ok=True)
    file_of(folder).write_text(text, "utf-8")
    file_of(folder).chmod(mode)
    return folder


def test_the_first_call_makes_the_key(tmp_path: Path) -> None:
    """The key is created once, readable by its owner only, in a folder that version control ignores."""
    folder = tmp_path / "deep" / FOLDER
    key = development_key(folder)
    assert (PREFIX, "ES256", key.private_jwk()) == (
        key.kid[: len(PREFIX)],
        key.algorithm,
        development_key(folder).private_jwk(),
    )
    assert (0o600, 0o700, "*\n") == (
        stat.S_IMODE(file_of(folder).stat().st_mode),
        stat.S_IMODE(folder.stat().st_mode),
        (folder / ".gitignore").read_text("utf-8"),
    )
    assert {".gitignore", "development-key.json"} == {path.name for path in folder.iterdir()}


def test_the_default_folder_is_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the folder is created in the current directory."""
    monkeypatch.chdir(tmp_path)
    assert development_key().kid == development_key(tmp_path / FOLDER).kid


def test_the_public_half_verifies(tmp_path: Path) -> None:
    """The key source verifies what the key signs, and holds no other key."""
    key = development_key(tmp_path)
    keys = development_keys(tmp_path)
    assert key.kid == verify_signature(sign({}, key), keys)[0]["kid"]
    assert (1, ()) == (keys.status().keys, keys.find("other", "ES256"))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of the group or of others is refused, and the message names the remedy."""
    development_key(tmp_path)
    file_of(tmp_path).chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        development_key(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="no JSON"),
        pytest.param("[" * 100_000, id="nested without end"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param('"x"', id="a string"),
        pytest.param("{}", id="an empty object"),
        pytest.param(json.dumps(SigningKey.generate(kid="development-1").public_jwk()), id="a public key"),
        pytest.param(json.dumps(SigningKey.generate(kid="prod").private_jwk()), id="another key"),
        pytest.param(json.dumps(SigningKey.generate(kid="Development-1").private_jwk()), id="a key of another case"),
    ],
)
def test_a_file_that_holds_no_development_key(tmp_path: Path, text: str) -> None:
    """Both functions raise `ConfigurationError` if the file holds anything else."""
    write(tmp_path, text)
    for ask in (development_key, development_keys):
        with pytest.raises(ConfigurationError):
            ask(tmp_path)


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are a `ConfigurationError`."""
    write(tmp_path, "")
    file_of(tmp_path).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="it is not JSON"):
        development_key(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the place of the folder is a `ConfigurationError`."""
    (tmp_path / "taken").write_text("", "utf-8")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        development_key(tmp_path / "taken")


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    """A folder in the place of the file is a `ConfigurationError`, and so is a path with NUL."""
    file_of(tmp_path).mkdir()
    file_of(tmp_path).chmod(0o700)
    with pytest.raises(ConfigurationError):
        development_key(tmp_path)
    with pytest.raises(ConfigurationError):
        development_key("a\0b")


def test_a_key_created_meanwhile_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process creates the key meanwhile, that key is used and no scratch file is left."""
    link = os.link
    first: list[SigningKey] = []

    def late(source: Path, target: Path) -> None:
        if not first:
            first.append(SigningKey.generate(kid=f"{PREFIX}first"))
            write(tmp_path, json.dumps(first[0].private_jwk()))
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert f"{PREFIX}first" == development_key(tmp_path).kid
    assert {".gitignore", "development-key.json"} == {path.name for path in tmp_path.iterdir()}


def test_a_scratch_file_of_a_killed_process_does_not_matter(tmp_path: Path) -> None:
    """A scratch file of a process with the same id (in containers ids repeat) does not prevent the creation."""
    (tmp_path / f"development-key.{os.getpid()}").write_text("", "utf-8")
    assert development_key(tmp_path).kid.startswith(PREFIX)


def test_threads_that_start_at_once_get_one_key(tmp_path: Path) -> None:
    """Eight threads that ask for the first time at once all get the same key."""
    gate = threading.Barrier(8)
    kids: list[str] = []

    def ask() -> None:
        gate.wait()
        try:
            kids.append(development_key(tmp_path).kid)
        except ConfigurationError as error:
            kids.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [development_key(tmp_path).kid] * 8 == kids
