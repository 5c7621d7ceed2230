"""The wheel and the sdist: packages, types, scripts, entry points and dependency floors."""

from __future__ import annotations

import ast
import configparser
import email
import importlib.metadata
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from prerequisites import require

ROOT = Path(__file__).parents[1]
PACKAGES = ["jwt_lp", "jwt_lp_django", "jwt_lp_flask", "jwt_lp_starlette"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel of this checkout."""
    require(find_spec("hatchling"), "hatchling, to build with (dependency group `test`)")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> dict[str, str]:
    """Name and text of every file in the wheel."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        return {name: archive.read(name).decode(errors="replace") for name in archive.namelist()}


def _source_files() -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.mark.once
def test_the_wheel_holds_the_four_packages_whole(wheel: dict[str, str]) -> None:
    """The wheel holds every file of the four packages, and no tests, examples or other folders."""
    info = f"jwt_lp-{PROJECT['version']}.dist-info/"
    assert _source_files() == {name for name in wheel if not name.startswith(info)}


@pytest.mark.once
def test_the_wheel_is_typed(wheel: dict[str, str]) -> None:
    """Each package carries the marker of PEP 561."""
    markers = [f"{package}/py.typed" for package in PACKAGES]
    assert markers == sorted(name for name in wheel if name.endswith("py.typed"))


@pytest.mark.once
def test_the_metadata(wheel: dict[str, str]) -> None:
    """The wheel states its name, release, licence, Python and extras."""
    stated = email.message_from_string(wheel[f"jwt_lp-{PROJECT['version']}.dist-info/METADATA"])
    expected = ("jwt-lp", PROJECT["version"], "MIT", ">=3.11")
    keys = ("Name", "Version", "License-Expression", "Requires-Python")
    assert expected == tuple(stated[key] for key in keys)
    assert sorted(EXTRAS) == sorted(stated.get_all("Provides-Extra", []))


@pytest.mark.once
def test_the_sdist_can_be_tested(built: Path) -> None:
    """The sdist holds all that is needed to build and to run the tests, and no local files."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    read = {"pyproject.toml", "tox.ini", "LICENSE", "README.md", "zensical.toml", ".pre-commit-hooks.yaml", ".ci/run"}
    assert set() == (_source_files() | read) - names
    assert "tests/test_packaging.py" in names
    assert set() == {name for name in names if name.startswith((".venv", ".tox", ".git/", "dist"))}


def _entry_points() -> list[str]:
    groups = [PROJECT["scripts"], *PROJECT["entry-points"].values()]
    return sorted({target for group in groups for target in group.values()})


@pytest.mark.parametrize("target", _entry_points())
def test_entry_points_lead_somewhere(target: str) -> None:
    """Each target of the metadata exists; it is looked up without importing its host."""
    module, _, attribute = target.partition(":")
    path = ROOT / module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {name.id for name in targets if isinstance(name, ast.Name)}
    assert not attribute or attribute in names


def test_the_installed_release_is_this_one() -> None:
    """The installed release is the one in pyproject.toml."""
    assert PROJECT["version"] == importlib.metadata.version("jwt-lp")


def test_the_changelog_has_this_release() -> None:
    """The changelog has an entry for this release."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?{re.escape(PROJECT['version'])}\b", changelog, re.MULTILINE)


def test_all_means_all() -> None:
    """The extra `all` names every other extra."""
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == EXTRAS.keys() - {"all"}


def _floors() -> dict[str, str]:
    stated: dict[str, str] = {}
    for line in [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            continue
        (floor,) = requirement.specifier
        assert ">=" == floor.operator, f"{line}: a floor and nothing else; a cap is somebody's conflict"
        name = canonicalize_name(requirement.name)
        assert floor.version == stated.setdefault(name, floor.version), f"{line}: two floors for one library"
    return stated


def _padded(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in version.split(".")]
    return (*numbers, *[0] * (3 - len(numbers)))


def test_every_floor_is_tested() -> None:
    """Each floor stated in pyproject.toml is what tox's `min` environment installs."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in tox["testenv:min"]["deps"].splitlines())
    pinned = {
        canonicalize_name(requirement.name): _padded(clause.version)
        for requirement in map(Requirement, filter(None, lines))
        for clause in requirement.specifier
        if clause.operator == "=="
    }
    assert pinned == {name: _padded(version) for name, version in _floors().items()}


def test_the_hooks_have_the_extra_cli() -> None:
    """The hook that pre-commit installs has exactly what the extra `cli` has, which pre-commit cannot name."""
    manifest = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    (line,) = re.findall(r"additional_dependencies: (\[.*\])", manifest)
    assert sorted(EXTRAS["cli"]) == sorted(ast.literal_eval(line))


def _pinned_actions() -> list[tuple[str, str, str]]:
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    used = [re.findall(r"uses: (\S+)@(\S+)(?: # (\S+))?$", path.read_text("utf-8"), re.MULTILINE) for path in workflows]
    assert [len(found) for found in used] == [path.read_text("utf-8").count("uses:") for path in workflows]
    return sorted({each for found in used for each in found})


def test_actions_are_pinned() -> None:
    """A workflow names each action by the hash of a commit, with its release beside it, and one release of each."""
    pinned = _pinned_actions()
    assert [] == [each for each in pinned if not re.fullmatch(r"[0-9a-f]{40}", each[1]) or not each[2].startswith("v")]
    assert len({name for name, _, _ in pinned}) == len(pinned)


def _release_faults(tag: str, repository: str) -> list[str]:
    command = [sys.executable, str(ROOT / ".ci/check_release.py"), tag, repository]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert (done.stdout == "may be released\n") == (done.returncode == 0)
    return [line.partition(",")[0].partition(":")[0] for line in done.stdout.splitlines() if done.returncode]


def test_only_this_release_of_this_repository_is_published() -> None:
    """A tag of another version, and a repository that the project's addresses do not name, are faults."""
    version, repository = PROJECT["version"], PROJECT["urls"]["Repository"]
    here = set(_release_faults(f"v{version}", repository))
    assert here <= {f"CHANGELOG.md has no entry with a date for {version}"}
    assert {f"the tag is v{version}.1"} == set(_release_faults(f"v{version}.1", repository)) - here
    assert {"[project.urls] Repository is https"} == set(_release_faults(f"v{version}", f"{repository}-2")) - here
