"""The documentation's site: every page is in its navigation, and the reference has every public name."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from docs.pages import ROOT, prose

pytestmark = pytest.mark.docs

SITE = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]

# Each page of the reference, the modules whose `__all__` it lists, and the names beside those.
REFERENCE = {
    "jwt_lp": (("jwt_lp",), ()),
    "jwt_lp_campaigns": (("jwt_lp.campaigns",), ()),
    "jwt_lp_console": (("jwt_lp.console",), ()),
    "jwt_lp_django": (
        ("jwt_lp_django", "jwt_lp_django.drf"),
        ("jwt_lp_django.middleware.LeastPrivilegeMiddleware",),
    ),
    "jwt_lp_flask": (("jwt_lp_flask",), ()),
    "jwt_lp_starlette": (("jwt_lp_starlette", "jwt_lp_starlette.fastapi"), ()),
    "jwt_lp_testing": (("jwt_lp.testing",), ()),
}


def _listed(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        targets = entry.values() if isinstance(entry, dict) else [entry]
        for target in targets:
            if isinstance(target, list):
                yield from _listed(target)
            else:
                yield target


def test_the_site_is_where_the_project_says() -> None:
    """The site is built for the address that PyPI shows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Documentation"] == SITE["site_url"]


def test_every_page_is_in_the_navigation_once() -> None:
    """The navigation lists each page in docs/ once, and nothing else."""
    pages = sorted(str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md"))
    assert pages == sorted(_listed(SITE["nav"]))


def _all_of(module: str) -> set[str]:
    """The names in a module's `__all__`, read without importing its host."""
    path = ROOT / module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no __all__")


@pytest.mark.parametrize("page", REFERENCE)
def test_the_reference_has_every_public_name(page: str) -> None:
    """The reference lists exactly the names of `__all__`; a name that two modules export, in one place."""
    modules, more = REFERENCE[page]
    shown = re.findall(r"^::: (\S+)$", prose(f"docs/reference/{page}.md"), flags=re.MULTILINE)
    expected: dict[str, str] = {}
    for module in modules:
        for name in _all_of(module):
            expected.setdefault(name, f"{module}.{name}")
    assert sorted([*expected.values(), *more]) == sorted(shown)


def test_every_page_of_the_reference_is_compared() -> None:
    """No page of the reference is left out above."""
    assert sorted(REFERENCE) == sorted(path.stem for path in (ROOT / "docs/reference").glob("*.md"))
