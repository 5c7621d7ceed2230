"""The development key of a project.

It is created when it is first needed, in a folder that version control ignores. The guard accepts its tokens only with
`JWT_LP_DEV=1`, and only from a peer on this machine.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Final

from jwt_lp.errors import ConfigurationError, clears_locals
from jwt_lp.guard.development import PREFIX
from jwt_lp.jose.jwks import StaticKeys
from jwt_lp.jose.signing import SigningKey

FOLDER: Final = ".jwt-lp"
_FILE: Final = "development-key.json"


@clears_locals
def development_key(folder: str | os.PathLike[str] = FOLDER) -> SigningKey:
    """Read the development key, or create it: mode 0600, in a folder with its own `.gitignore`.

    `ConfigurationError` if the file is readable by others, holds another kind of key, or cannot be written.
    """
    path = Path(folder) / _FILE
    try:
        if not path.exists():
            _create_key(path)
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others: chmod 600 {path}")
        key = SigningKey.from_jwk(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise ConfigurationError(f"the development key {path} cannot be used: {reason}") from None
    if not key.kid.startswith(PREFIX):
        # INVARIANT: a key that is used elsewhere is never accepted as the development key.
        raise ConfigurationError(f"{path} holds a key that jwt-lp did not make: remove it")
    return key


def development_keys(folder: str | os.PathLike[str] = FOLDER) -> StaticKeys:
    """The public half of the development key, as a key source."""
    key = development_key(folder)
    return StaticKeys.from_jwks({"keys": [key.public_jwk()]}, {key.algorithm})


def _create_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*\n", "utf-8")
    key = SigningKey.generate("ES256", kid=PREFIX + os.urandom(6).hex())
    # Written to a scratch file (mode 0600) and linked: if several processes start at once, all use the first key.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix="scratch-")
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(key.private_jwk(), file)
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
