"""The drawing of the house, and that no import points anywhere else.

Imports point down only. A module may import whatever stands on a lower floor, and on its own floor only
what is drawn. Imports for types alone do not count; an import inside a function does.
"""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import jwt_lp

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

# name of the module or subpackage -> floor. A name whose file does not exist yet keeps its place.
FLOORS = {
    # words: the standard library only, and each stands alone
    "errors": 0,
    "_grammar": 0,
    "_nesting": 0,
    "permissions": 0,
    "bearer": 0,
    "templates": 0,
    "_tables": 0,
    "_toml": 0,
    "_lock": 0,
    # meaning: pure; no clock, no I/O, no thread
    "sources": 1,
    "claims": 1,
    "profiles": 1,
    "_custom": 1,
    "policy": 1,
    "_entries": 1,
    "lint": 1,
    "_rules": 1,
    "_lenient": 1,
    "_tells": 1,
    "_checks": 1,
    "_carried": 1,
    "_held": 1,
    "terms": 1,
    "requirements": 1,
    "routes": 1,
    "decision": 1,
    "shaping": 1,
    "lineage": 1,
    "parameters": 1,
    "_compact": 1,
    "changes": 1,
    # trust: whose signature, how old, for whom
    "jws": 2,
    "jwk": 2,
    "weakness": 2,
    "fetch": 2,
    "discovery": 2,
    "keyset": 2,
    "flights": 2,
    "keys": 2,
    "cache": 2,
    "verify": 2,
    "signing": 2,
    "_ring": 2,
    "keyring": 2,
    "clientauth": 2,
    "assertion": 2,
    "allowance": 2,
    "issue": 2,
    "narrowing": 2,
    "development": 2,
    "standing": 2,
    "revocation": 2,
    # memory: sees decisions and counts; never a raw token or a key
    "usage": 3,
    "stores": 3,
    "tabular": 3,
    "located": 3,
    "telling": 3,
    "importing": 3,
    "holding": 3,
    "review": 3,
    "report": 3,
    # door
    "reading": 4,
    "issuers": 4,
    "settings": 4,
    "journal": 4,
    "account": 4,
    "guard": 4,
    "memo": 4,
    "hosts": 4,
    "exchange": 4,
    # outside, within jwt_lp
    "cli": 5,
    "testing": 5,
    "pytest_plugin": 5,
    "narrower": 5,
    "client": 5,
    "__main__": 5,
}
CELLAR = {"_worker"}  # the one background thread
THREADED = {2, 3, 4, 5}  # the floors that may go down there

# what may be imported from the same floor
SIDEWAYS = {
    "_grammar": {"errors"},
    "permissions": {"_grammar", "errors"},
    "bearer": {"errors"},
    "templates": {"errors", "permissions"},
    "_tables": {"errors"},
    "_toml": {"errors"},
    "_lock": {"errors"},
    "claims": {"sources"},
    "profiles": {"claims"},
    "_custom": {"claims", "profiles"},
    "policy": {"_entries", "_compact"},
    "_entries": {"requirements"},
    "requirements": {"terms"},
    "routes": {"requirements"},
    "decision": {"claims", "requirements"},
    "shaping": {"claims", "sources"},
    "lineage": {"sources"},
    "changes": {"policy", "_entries"},
    "lint": {"_carried", "_checks", "_held", "_lenient", "_rules", "policy", "sources"},
    "_lenient": {"sources"},
    "_checks": {"_rules", "_tells", "sources"},
    "_carried": {"_checks", "_rules", "_tells", "sources"},
    "_held": {"_entries", "_rules", "_tells", "claims", "sources"},
    "jwk": {"jws", "weakness"},
    "fetch": {"jws"},
    "discovery": {"fetch"},
    "keyset": {"jwk"},
    "keys": {"jwk", "fetch", "discovery", "keyset", "flights"},
    "verify": {"jws", "jwk", "keys", "cache"},
    "signing": {"jwk", "keyset"},
    "_ring": {"signing", "jwk"},
    "keyring": {"_ring", "signing", "jwk"},
    "assertion": {"clientauth", "jws", "jwk", "keys", "verify"},
    "allowance": {"jws", "narrowing", "verify"},
    "issue": {"allowance", "signing", "narrowing", "standing", "verify"},
    "development": {"signing", "keys"},
    "revocation": {"standing"},
    "usage": {"stores"},
    "telling": {"stores"},
    "importing": {"stores", "telling"},
    "holding": {"stores", "telling"},
    "review": {"stores", "tabular"},
    "report": {"review", "tabular"},
    "issuers": {"reading"},
    "settings": {"issuers"},
    "account": {"journal"},
    "guard": {"settings", "journal", "account"},
    "exchange": {"journal"},
    "client": {"narrower"},
    "pytest_plugin": {"testing"},
    "__main__": {"cli"},
}

# what is not ours -> where it may be imported
TRUST = {name for name, floor in FLOORS.items() if floor == 2}
FOREIGN = {
    "jwt": TRUST,
    "cryptography": TRUST,
    "urllib3": {"fetch", "cli"},
    "sqlalchemy": {"stores"},
    "psycopg": {"stores"},
    "redis": {"stores"},
    "click": {"cli"},
    "rich": {"cli"},
    "jinja2": {"report"},
    "tomlkit": {"review"},
    "httpx": {"client"},
    "httpx2": {"client"},
    "pytest": {"testing", "pytest_plugin"},
}

# an adapter -> the libraries it is made for; of ours it has itself and what `jwt_lp` exports
ADAPTERS = {
    "jwt_lp_django": {"django", "rest_framework", "asgiref", "drf_spectacular"},
    "jwt_lp_flask": {"flask", "werkzeug", "click"},
    "jwt_lp_starlette": {"starlette", "fastapi", "pydantic", "anyio"},
}

# a file of an adapter -> what else of ours it may import: a store outside the core keeps the core's rows, and twenty
# names at the root for the sake of one store would say that they are everybody's
ROWS = {"jwt_lp.stores", "jwt_lp.stores._added", "jwt_lp.stores._keyed", "jwt_lp.revocation", "jwt_lp.standing"}
APART = {"jwt_lp._lock", "jwt_lp.stores._alone"}
STORES = {f"jwt_lp_django/{name}.py": ROWS for name in ("recorded", "revoked", "known", "summed")}
STORES["jwt_lp_django/store.py"] = ROWS | APART

# the functions among the root's exports: they make a value, or are the one verb of their module
EXPORTED_FUNCTIONS = {"all_of", "any_of", "external", "route_faults"}

FRAMEWORKS_AND_DRIVERS = {
    "click",
    "django",
    "fastapi",
    "flask",
    "httpx",
    "httpx2",
    "psycopg",
    "pydantic",
    "pytest",
    "redis",
    "rest_framework",
    "rich",
    "sqlalchemy",
    "starlette",
    "urllib3",
}


def _for_types_only(node: ast.If) -> bool:
    return ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _imports(node: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of every import that runs; the name is empty for a plain `import module`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _for_types_only(child):
            for statement in child.orelse:
                yield from _imports(ast.Module([statement], []), package)
        elif isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name, "") for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            above = package[: len(package) - child.level + 1] if child.level else ()
            module = ".".join((*above, child.module) if child.module else above)
            yield from ((child.lineno, module, alias.name) for alias in child.names)
        else:
            yield from _imports(child, package)


def _core_may(unit: str, target: str) -> bool:
    """Whether the core's module `unit` may import the core's module `target`; "" is the root package."""
    if unit in (target, ""):  # the root exports what it likes, but for the outside
        return unit == target or FLOORS.get(target, 5) < 5
    if unit in CELLAR:
        return False
    if target in CELLAR:
        return FLOORS[unit] in THREADED
    if target == "":
        return FLOORS[unit] == 5
    return FLOORS[target] < FLOORS[unit] or target in SIDEWAYS.get(unit, ())


def _wrong(path: str, source: str) -> Iterator[str]:
    """Every import in the file that the drawing does not have."""
    package, *rest = path.removesuffix(".py").split("/")
    unit = "" if rest == ["__init__"] else rest[0]
    for line, module, name in _imports(ast.parse(source), (package, *rest[:-1])):
        top, _, below = module.partition(".")
        says = f"{path}:{line} imports {module}{':' if name else ''}{name}"
        if top in sys.stdlib_module_names:
            continue
        if package in ADAPTERS:
            exported = module == "jwt_lp" and name in jwt_lp.__all__
            drawn = module in STORES.get(path, ()) and name
            if not (exported or drawn or top == package or top in ADAPTERS[package]):
                yield says
        elif top == "jwt_lp":
            inner = below or (name if name in FLOORS or name in CELLAR else "")
            target = inner.partition(".")[0]
            if unplaced := {unit, target} - FLOORS.keys() - CELLAR - {""}:
                yield f"{says}: {', '.join(sorted(unplaced))} has no place in the drawing"
            elif not _core_may(unit, target):
                yield says
        elif unit not in FOREIGN.get(top, ()):
            yield says


def _files() -> list[str]:
    packages = ("jwt_lp", *ADAPTERS)
    return sorted(str(path.relative_to(ROOT)) for name in packages for path in (ROOT / name).rglob("*.py"))


def test_every_module_has_a_place() -> None:
    """A file that the drawing does not know cannot be judged, so it fails."""
    units = {path.split("/")[1].removesuffix(".py") for path in _files() if path.startswith("jwt_lp/")}
    assert set() == units - {"__init__"} - FLOORS.keys() - CELLAR


@pytest.mark.parametrize("path", _files())
def test_imports_point_down(path: str) -> None:
    """A file imports what the drawing lets it import, and nothing else."""
    assert [] == list(_wrong(path, (ROOT / path).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        pytest.param("jwt_lp/permissions.py", "from jwt_lp.claims import AccessToken", id="up"),
        pytest.param("jwt_lp/errors.py", "from jwt_lp.bearer import parse", id="words stand alone"),
        pytest.param("jwt_lp/claims.py", "from jwt_lp.decision import Call", id="sideways, not drawn"),
        pytest.param("jwt_lp/keys.py", "from jwt_lp import verify", id="submodule from root"),
        pytest.param("jwt_lp/keys.py", "from . import verify", id="relative"),
        pytest.param("jwt_lp/keys.py", "from .verify import Verifier", id="relative, by name"),
        pytest.param("jwt_lp/stores/sql.py", "from ..guard import Guard", id="relative, from a subpackage"),
        pytest.param("jwt_lp/guard.py", "def f():\n    from jwt_lp import cli", id="inside a function"),
        pytest.param("jwt_lp/guard.py", "from jwt_lp import Guard", id="the root from within"),
        pytest.param("jwt_lp/__init__.py", "from jwt_lp.testing import Authority", id="the outside, from root"),
        pytest.param("jwt_lp/guard.py", "import jwt_lp.nonesuch", id="unplaced"),
        pytest.param("jwt_lp/policy.py", "from jwt_lp._worker import Worker", id="a thread in the meaning"),
        pytest.param("jwt_lp/_worker.py", "from jwt_lp.errors import JwtLpError", id="up from the cellar"),
        pytest.param("jwt_lp/guard.py", "import jwt", id="jwt outside trust"),
        pytest.param("jwt_lp/testing.py", "from cryptography import x509", id="cryptography outside trust"),
        pytest.param("jwt_lp/keys.py", "import urllib3", id="urllib3 outside fetch"),
        pytest.param("jwt_lp/settings.py", "import click", id="click outside cli"),
        pytest.param("jwt_lp/claims.py", "import pydantic", id="a library nobody placed"),
        pytest.param("jwt_lp/guard.py", "import jwt_lp_flask", id="an adapter from the core"),
        pytest.param("jwt_lp_flask/a.py", "from jwt_lp.guard import Guard", id="adapter, submodule"),
        pytest.param("jwt_lp_flask/a.py", "import jwt_lp.guard", id="adapter, submodule by import"),
        pytest.param("jwt_lp_flask/a.py", "import jwt_lp", id="adapter, the root itself"),
        pytest.param("jwt_lp_flask/a.py", "from jwt_lp import guard", id="adapter, submodule from root"),
        pytest.param("jwt_lp_flask/a.py", "from jwt_lp import *", id="adapter, star"),
        pytest.param("jwt_lp_flask/a.py", "import jwt_lp_django", id="adapter, another adapter"),
        pytest.param("jwt_lp_django/apps.py", "from jwt_lp.stores import Use", id="adapter, rows outside its store"),
        pytest.param("jwt_lp_django/store.py", "from jwt_lp.stores.sql import SqlStore", id="a store, another store"),
        pytest.param("jwt_lp_flask/a.py", "import starlette", id="adapter, another host"),
        pytest.param("jwt_lp_flask/a.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import jwt", id="else"),
    ],
)
def test_a_wrong_import_is_found(path: str, source: str) -> None:
    """Each way to leave the drawing is seen; without this, an empty answer above would prove nothing."""
    assert 1 == len(list(_wrong(path, source)))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        pytest.param("jwt_lp/guard.py", "import json\nfrom jwt_lp.verify import Verifier", id="down"),
        pytest.param("jwt_lp/verify.py", "from .keys import StaticKeys", id="sideways, as drawn"),
        pytest.param("jwt_lp/stores/sql.py", "from . import protocol\nimport sqlalchemy", id="own subpackage"),
        pytest.param("jwt_lp/keys.py", "from jwt_lp import _worker", id="down to the cellar"),
        pytest.param("jwt_lp/__init__.py", "from jwt_lp.guard import Guard", id="the root exports"),
        pytest.param("jwt_lp/cli/app.py", "import click\nfrom jwt_lp import Guard", id="the outside"),
        pytest.param("jwt_lp/claims.py", "if TYPE_CHECKING:\n    import jwt", id="for types"),
        pytest.param("jwt_lp_flask/a.py", "if typing.TYPE_CHECKING:\n    import jwt", id="typing.TYPE_CHECKING"),
        pytest.param("jwt_lp_django/store.py", "from jwt_lp.stores import Use", id="a store's rows"),
        pytest.param("jwt_lp_flask/a.py", "from flask import g\nfrom . import b", id="an adapter's own"),
    ],
)
def test_a_right_import_passes(path: str, source: str) -> None:
    """What the drawing allows is not reported."""
    assert [] == list(_wrong(path, source))


def test_the_root_imports_no_framework_and_no_driver() -> None:
    """`import jwt_lp` stays light: a host, a driver or urllib3 is imported when first needed, by who needs it."""
    code = "import sys; old = {*sys.modules}; import jwt_lp; print(*sys.modules.keys() - old)"
    # `-P`, and the package from where this run has it: neither the folder we are in nor a stale copy decides
    found = str(Path(jwt_lp.__file__).parents[1])
    fresh = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": found},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {name.partition(".")[0] for name in fresh.stdout.split()}
    assert "jwt_lp" in imported
    assert set() == imported & FRAMEWORKS_AND_DRIVERS


def test_the_root_exports_no_module_and_no_name_of_one() -> None:
    """`jwt_lp.review` must mean the module for ever, so no export goes by a module's name or is a module."""
    placed = FLOORS.keys() | CELLAR
    modules = {name for name in jwt_lp.__all__ if inspect.ismodule(getattr(jwt_lp, name))}
    assert set() == modules | (set(jwt_lp.__all__) & placed)


def test_the_root_exports_classes_and_values_only() -> None:
    """A function is exported only when it is drawn as one: it makes a value or is the verb of its module."""
    functions = {name for name in jwt_lp.__all__ if inspect.isroutine(getattr(jwt_lp, name))}
    assert set() == functions - EXPORTED_FUNCTIONS


def test_the_root_exports_in_order() -> None:
    """`__all__` is sorted and says each name once, so that a change to it is easy to read."""
    assert sorted(set(jwt_lp.__all__)) == sorted(jwt_lp.__all__)
