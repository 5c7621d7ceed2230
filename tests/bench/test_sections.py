"""Tests that run each section of the benchmarks once, as small as it can be, where the peers are installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import sections
from benchmarks.figures import by_key, load
from benchmarks.floors import FLOORS
from benchmarks.scale import TINY
from benchmarks.sections import long
from servers import postgres_database

ROOT = Path(__file__).parents[2]

NEEDED = {
    "cold": ["joserfc", "sqlalchemy"],
    "warm": ["sqlalchemy"],
    "hosts": ["flask_jwt_extended", "rest_framework_simplejwt", "fastapi", "starlette", "sqlalchemy"],
    "grants": ["sqlalchemy"],
    "engines": ["casbin", "cedarpy"],
    "refusals": [],
    "elevation": ["sqlalchemy"],
    "imports": [],
    "issuing": [],
    "live_tokens": ["sqlalchemy"],
}


@pytest.mark.once
@pytest.mark.peers
@pytest.mark.parametrize("section", NEEDED)
def test_a_section_measures_what_has_a_floor(section: str, tmp_path: Path) -> None:
    """One tiny round ends without an error, and gives each figure that has a floor, in the floor's unit."""
    for name in NEEDED[section]:
        pytest.importorskip(name)
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "section", section, "--scale", TINY.name, "--output", str(output)]
    subprocess.run(command, cwd=ROOT, check=True)
    results = load(output)
    figures = by_key(results)
    assert figures
    floors = {key: floor.unit for key, floor in FLOORS.items() if key.section == section}
    assert floors == {key: figures[key].unit for key in floors if key in figures}
    assert "jwt-lp" in results[section].machine
    assert all(each.value.low <= each.value.median <= each.value.high for each in figures.values())


@pytest.mark.servers
def test_servers_are_measured_beside_the_bare_application() -> None:
    """Two servers take turns under the load generator, and both mixes give the figures that have a floor."""
    for name in ("psutil", "flask", "gunicorn", "sqlalchemy"):
        pytest.importorskip(name)
    from benchmarks.sections import servers

    keys = {(figure.what, figure.against) for figure in servers.run(TINY, hosts=["Flask"])}
    floors = {(key.what, key.against) for key in FLOORS if key.section == "servers" and key.what.startswith("Flask")}
    assert floors <= keys
    assert "the handler" in {what for what, _ in keys}


@pytest.mark.servers
def test_the_console_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page and a load of two reviewers, over a small store; each floor has its figure, and no decision is lost."""
    for name in ("psutil", "psycopg", "sqlalchemy", "starlette", "jinja2", "python_multipart", "uvicorn"):
        pytest.importorskip(name)
    from benchmarks.sections import console

    with postgres_database() as server:
        monkeypatch.setenv("BENCH_POSTGRES", server)
        figures = {(figure.what, figure.unit): figure for figure in console.run(TINY)}
    assert {(key.what, floor.unit) for key, floor in FLOORS.items() if key.section == "console"} <= figures.keys()
    assert figures["decisions saved in the load", "per s"].value.median > 0


def test_each_long_section_has_programs() -> None:
    """What takes minutes is a module, or programs that are files; no section is listed twice."""
    names = [section.name for section in sections.ALL]
    assert len(names) == len(set(names))
    assert {section.name for section in sections.ALL if section.long} == {"console", *long.PROGRAMS}
    files = {name for programs in long.PROGRAMS.values() for name, *_ in programs}
    assert files == {name for name in files if (ROOT / "benchmarks" / name).is_file()}
