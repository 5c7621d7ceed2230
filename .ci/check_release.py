"""Whether a tag may be released: `check_release.py v1.2.3 https://github.com/OWNER/NAME`.

The tag is the version in pyproject.toml, the changelog has a date for it, and the project's addresses, which PyPI will
show, are those of the repository that releases it. Prints every fault, and exits with 1 if there is one.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def faults(tag: str, repository: str) -> list[str]:
    """What forbids the release; empty if nothing does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = project["version"]
    found: list[str] = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, but pyproject.toml has version {version}")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no entry with a date for {version}: write ## [{version}] - YYYY-MM-DD")
    if project["urls"]["Repository"] != repository:
        found.append(f"[project.urls] Repository is {project['urls']['Repository']}, but this is {repository}")
    return found


if __name__ == "__main__":
    found = faults(*sys.argv[1:3])
    print("\n".join(found) or "may be released")
    sys.exit(1 if found else 0)
