"""The order of the packages, and that no import points up.

A package imports packages that stand before it in `ORDER`, and itself. Inside a package no modules import each other
in a circle, imports for types included. Otherwise imports for types alone do not count; an import inside a function does.
"""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import jwt_lp

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(jwt_lp.__file__).parents[1]

# what `jwt_lp` holds, from the bottom up
ORDER = (
    "errors",
    "_support",
    "permissions",
    "policy",
    "jose",
    "webhooks",
    "tokens",
    "revocation",
    "issuing",
    "stores",
    "usage",
    "lint",
    "observability",
    "guard",
    "oauth",
    "signin",
    "elevation",
    "review",
    "campaigns",
    "testing",
    "console",
    "cli",
)

# those from here on stand outside: the root exports nothing of them, and they may import the root
OUTSIDE = ("review", "campaigns", "testing", "console", "cli")

# the background worker starts threads; these have no reason to
WITHOUT_THREADS = ("permissions", "policy", "lint", "issuing")

# what is not ours -> the packages, or the modules, that may import it
LIBRARIES = {
    "jwt": ("jose",),
    "cryptography": ("jose",),
    "urllib3": ("jose.http_fetch",),
    "sqlalchemy": ("stores",),
    "psycopg": ("stores",),
    "redis": ("signin.shared_attempts", "stores.push"),
    "duckdb": ("stores.parquet_folder",),
    "click": ("cli",),
    "libcst": ("cli.migration",),
    "rich": ("cli",),
    "jinja2": ("review.report", "console"),
    "markupsafe": ("console",),
    "starlette": ("console",),
    "uvicorn": ("cli.console",),
    "tomlkit": ("review.plan",),
    "stdnum": ("lint.detectors",),
    "httpx": ("oauth.httpx_auth",),
    "httpx2": ("oauth.httpx_auth",),
    "pytest": ("testing",),
    "opentelemetry": ("observability.telemetry",),
}

# The console is an application of Starlette, so it stands on that adapter; nothing else in `jwt_lp` does.
ON_STARLETTE = "console"

# an adapter -> the libraries it is made for; of ours it has itself and what `jwt_lp` exports
ADAPTERS = {
    "jwt_lp_django": {"django", "rest_framework", "asgiref", "drf_spectacular", "channels"},
    "jwt_lp_flask": {"flask", "werkzeug", "click", "apispec", "blinker", "flask_login", "a2wsgi"},
    "jwt_lp_starlette": {"starlette", "fastapi", "pydantic", "anyio"},
}

# Django's store keeps the same rows as the SQL store, so its modules may import what those rows and locks are made of.
ROWS = {
    "jwt_lp._support.file_lock",
    "jwt_lp.revocation.entries",
    "jwt_lp.revocation.snapshot",
    "jwt_lp.stores",
    "jwt_lp.revocation.temporary_grants",
    "jwt_lp.stores.advisory_lock",
    "jwt_lp.stores.audit",
    "jwt_lp.stores.campaign_changes",
    "jwt_lp.stores.campaign_values",
    "jwt_lp.stores.lookup_values",
    "jwt_lp.stores.lookups",
    "jwt_lp.stores.elevation_changes",
    "jwt_lp.stores.elevation_events",
    "jwt_lp.stores.elevations",
    "jwt_lp.stores.families",
    "jwt_lp.stores.row_keys",
    "jwt_lp.stores.summation",
}
STORE_MODULES = {
    f"jwt_lp_django/{name}.py": ROWS
    for name in (
        "audit_rows",
        "campaign_rows",
        "campaign_store",
        "elevation_rows",
        "family_rows",
        "holder_rows",
        "lookup_rows",
        "revocation_rows",
        "row_keys",
        "sum_queries",
        "usage_rows",
        "usage_sums",
    )
}
# It takes the same locks as the SQL store, too.
STORE_MODULES["jwt_lp_django/store.py"] = ROWS | {"jwt_lp._support.file_lock", "jwt_lp.stores.advisory_lock"}

# the functions among the root's exports: they make a value, or are the one verb of their module
EXPORTED_FUNCTIONS = {
    *("all_of", "any_of", "cross_origin_fault", "external", "route_faults", "subscribe"),
    *("guard_elevations", "request_elevation"),
}

FRAMEWORKS_AND_DRIVERS = {
    "click",
    "django",
    "duckdb",
    "fastapi",
    "flask",
    "httpx",
    "httpx2",
    "opentelemetry",
    "psycopg",
    "pydantic",
    "pytest",
    "redis",
    "rest_framework",
    "rich",
    "sqlalchemy",
    "starlette",
    "stdnum",
    "urllib3",
}


def _for_types_only(node: ast.If) -> bool:
    return ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _imports(node: ast.AST, package: tuple[str, ...], *, types: bool = False) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of every import that runs, and with `types` of those for types alone.

    The name is empty for a plain `import module`.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _for_types_only(child) and not types:
            for statement in child.orelse:
                yield from _imports(ast.Module([statement], []), package)
        elif isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name, "") for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            above = package[: len(package) - child.level + 1] if child.level else ()
            module = ".".join((*above, child.module) if child.module else above)
            yield from ((child.lineno, module, alias.name) for alias in child.names)
        else:
            yield from _imports(child, package, types=types)


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _core_may(package: str, target: str) -> bool:
    """Whether `jwt_lp.package` may import `jwt_lp.target`; "" is the root."""
    if package == "":
        return target not in OUTSIDE
    if target == "":
        return package in OUTSIDE
    return ORDER.index(target) <= ORDER.index(package)


def _forbidden(path: str, source: str) -> Iterator[str]:
    """Every import in the file that the order does not allow."""
    top_package, *rest = path.removesuffix(".py").split("/")
    inner = ".".join(rest).removesuffix("__init__").removesuffix(".")
    package = inner.partition(".")[0]
    for line, module, name in _imports(ast.parse(source), (top_package, *rest[:-1])):
        top, _, below = module.partition(".")
        statement = f"{path}:{line} imports {module}{':' if name else ''}{name}"
        if top in sys.stdlib_module_names:
            continue
        if top_package in ADAPTERS:
            exported = module == "jwt_lp" and name in jwt_lp.__all__
            is_store = module in STORE_MODULES.get(path, ()) and name
            if not (exported or is_store or top == top_package or top in ADAPTERS[top_package]):
                yield statement
        elif top == "jwt_lp":
            target = below.partition(".")[0] or (name if name in ORDER else "")
            if unplaced := {package, target} - {*ORDER, ""}:
                yield f"{statement}: {', '.join(sorted(unplaced))} has no place in the order"
            elif not _core_may(package, target) or (module == "jwt_lp._support.worker" and package in WITHOUT_THREADS):
                yield statement
        elif top == "jwt_lp_starlette" and package == ON_STARLETTE:
            continue
        elif not any(inner == place or inner.startswith(f"{place}.") for place in LIBRARIES.get(top, ())):
            yield statement


def _files() -> list[str]:
    packages = ("jwt_lp", *ADAPTERS)
    return sorted(str(path.relative_to(ROOT)) for name in packages for path in (ROOT / name).rglob("*.py"))


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_every_package_has_a_place() -> None:
    """A file that the order does not know cannot be judged, so it fails."""
    packages = {path.split("/")[1].removesuffix(".py") for path in _files() if path.startswith("jwt_lp/")}
    assert {*ORDER, "__init__"} == packages


@pytest.mark.once
@pytest.mark.parametrize("path", _files())
def test_imports_point_down(path: str) -> None:
    """A file imports what the order allows, and nothing else."""
    assert [] == list(_forbidden(path, (ROOT / path).read_text(encoding="utf-8")))


@pytest.mark.once
@pytest.mark.parametrize("top", ["jwt_lp", *ADAPTERS])
def test_no_modules_import_each_other_in_a_circle(top: str) -> None:
    """The modules of a distribution package can be loaded one after the other, each once."""
    graph: dict[str, set[str]] = {}
    for path in _files():
        # A package's own `__init__` collects names and is imported by nothing inside it.
        if path.split("/")[0] != top or path.endswith("__init__.py"):
            continue
        package = tuple(path.split("/")[:-1])
        imports = _imports(ast.parse((ROOT / path).read_text(encoding="utf-8")), package, types=True)
        targets = {f"{module}.{name}" if _is_module(f"{module}.{name}") else module for _, module, name in imports}
        graph[_module(path)] = {target for target in targets if target.split(".")[0] == top}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        pytest.param("jwt_lp/permissions/grants.py", "from jwt_lp.tokens.claims import AccessToken", id="up"),
        pytest.param("jwt_lp/errors.py", "from jwt_lp.permissions import Grant", id="errors stand alone"),
        pytest.param("jwt_lp/jose/jws.py", "from jwt_lp import guard", id="package from the root"),
        pytest.param("jwt_lp/jose/jws.py", "from .. import guard", id="relative"),
        pytest.param("jwt_lp/jose/jws.py", "from ..guard.guard import Guard", id="relative, by name"),
        pytest.param("jwt_lp/review/plan/plan.py", "from ...cli import main", id="relative, from a subpackage"),
        pytest.param("jwt_lp/guard/guard.py", "def f():\n    from jwt_lp import cli", id="inside a function"),
        pytest.param("jwt_lp/guard/guard.py", "from jwt_lp import Guard", id="the root from within"),
        pytest.param("jwt_lp/__init__.py", "from jwt_lp.testing import Authority", id="the outside, from the root"),
        pytest.param("jwt_lp/guard/guard.py", "import jwt_lp.nonesuch", id="unplaced"),
        pytest.param("jwt_lp/policy/file.py", "from jwt_lp._support.worker import Worker", id="a thread in the policy"),
        pytest.param("jwt_lp/guard/guard.py", "import jwt", id="jwt outside jose"),
        pytest.param("jwt_lp/testing/authority.py", "from cryptography import x509", id="cryptography outside jose"),
        pytest.param("jwt_lp/jose/remote_jwks.py", "import urllib3", id="urllib3 outside http_fetch"),
        pytest.param("jwt_lp/guard/settings.py", "import click", id="click outside cli"),
        pytest.param("jwt_lp/tokens/claims.py", "import pydantic", id="a library nobody placed"),
        pytest.param("jwt_lp/guard/guard.py", "import jwt_lp_flask", id="an adapter from the core"),
        pytest.param("jwt_lp/cli/console.py", "import jwt_lp_starlette", id="an adapter beside the console"),
        pytest.param("jwt_lp/console/session.py", "import jwt_lp_flask", id="another adapter from the console"),
        pytest.param("jwt_lp_flask/a.py", "from jwt_lp.guard import Guard", id="adapter, package"),
        pytest.param("jwt_lp_flask/a.py", "import jwt_lp.guard", id="adapter, package by import"),
        pytest.param("jwt_lp_flask/a.py", "import jwt_lp", id="adapter, the root itself"),
        pytest.param("jwt_lp_flask/a.py", "from jwt_lp import guard", id="adapter, package from the root"),
        pytest.param("jwt_lp_flask/a.py", "from jwt_lp import *", id="adapter, star"),
        pytest.param("jwt_lp_flask/a.py", "import jwt_lp_django", id="adapter, another adapter"),
        pytest.param("jwt_lp_django/apps.py", "from jwt_lp.stores import Use", id="adapter, rows outside its store"),
        pytest.param("jwt_lp_django/store.py", "from jwt_lp.stores.sql import SqlStore", id="a store, another store"),
        pytest.param("jwt_lp_flask/a.py", "import starlette", id="adapter, another host"),
        pytest.param("jwt_lp_flask/a.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import jwt", id="else"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str) -> None:
    """Each way to leave the order is seen; without this, an empty answer above would prove nothing."""
    assert 1 == len(list(_forbidden(path, source)))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        pytest.param("jwt_lp/guard/guard.py", "import json\nfrom jwt_lp.tokens import Verifier", id="down"),
        pytest.param("jwt_lp/tokens/verification.py", "from .cache import TokenCache", id="its own package"),
        pytest.param("jwt_lp/stores/sql.py", "from . import schema\nimport sqlalchemy", id="its own library"),
        pytest.param("jwt_lp/jose/remote_jwks.py", "from jwt_lp._support import worker", id="the worker"),
        pytest.param("jwt_lp/__init__.py", "from jwt_lp.guard import Guard", id="the root exports"),
        pytest.param("jwt_lp/cli/app.py", "import click\nfrom jwt_lp import Guard", id="the outside"),
        pytest.param("jwt_lp/tokens/claims.py", "if TYPE_CHECKING:\n    import jwt", id="for types"),
        pytest.param("jwt_lp_flask/a.py", "if typing.TYPE_CHECKING:\n    import jwt", id="typing.TYPE_CHECKING"),
        pytest.param("jwt_lp_django/store.py", "from jwt_lp.stores import Use", id="a store's rows"),
        pytest.param("jwt_lp_flask/a.py", "from flask import g\nfrom . import b", id="an adapter's own"),
        pytest.param("jwt_lp/console/session.py", "from jwt_lp_starlette import can", id="the console's adapter"),
    ],
)
def test_an_allowed_import_passes(path: str, source: str) -> None:
    """What the order allows is not reported."""
    assert [] == list(_forbidden(path, source))


def test_no_export_imports_a_framework_or_a_driver() -> None:
    """With all that the root exports loaded, no host, no driver and no urllib3 is: who needs one imports it."""
    code = "import sys; old = {*sys.modules}; from jwt_lp import *; print(*sys.modules.keys() - old)"
    # `-P`, and the package from where this run has it: neither the folder we are in nor a stale copy decides
    fresh = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = fresh.stdout.split()
    assert "jwt_lp.guard.guard" in imported
    assert set() == {name.partition(".")[0] for name in imported} & FRAMEWORKS_AND_DRIVERS
    assert [] == [name for name in imported for outer in OUTSIDE if name.startswith(f"jwt_lp.{outer}")]


def test_the_root_exports_no_module_and_no_name_of_one() -> None:
    """`jwt_lp.review` must mean the package for ever, so no export has a package's name or is a module."""
    modules = {name for name in jwt_lp.__all__ if inspect.ismodule(getattr(jwt_lp, name))}
    assert set() == modules | (set(jwt_lp.__all__) & set(ORDER))


def test_the_root_exports_classes_and_values_only() -> None:
    """A function is exported only when it makes a value or is the one verb of its module."""
    functions = {name for name in jwt_lp.__all__ if inspect.isroutine(getattr(jwt_lp, name))}
    assert set() == functions - EXPORTED_FUNCTIONS


def test_the_root_exports_in_order() -> None:
    """`__all__` is sorted and has each name once, so that a change to it is easy to read."""
    assert sorted(set(jwt_lp.__all__)) == sorted(jwt_lp.__all__)
