"""The docs use every part, so their code only runs if everything is installed."""

from __future__ import annotations

from importlib.util import find_spec

_SHOWN = (
    *("django", "rest_framework", "flask", "fastapi", "httpx2", "click", "rich", "sqlalchemy", "jinja2", "tomlkit"),
    *("apispec", "libcst", "ninja", "yaml"),
)

collect_ignore_glob = [] if all(map(find_spec, _SHOWN)) else ["test_*.py"]
