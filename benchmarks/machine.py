"""The machine, the Python and the libraries that figures come from."""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_LIBRARIES: Final = (
    *("jwt-lp", "PyJWT", "cryptography", "joserfc"),
    *("Django", "djangorestframework", "djangorestframework-simplejwt", "Flask", "Flask-JWT-Extended"),
    *("starlette", "fastapi", "gunicorn", "uvicorn", "pycasbin", "cedarpy"),
)


def describe() -> dict[str, str]:
    """What has to be said beside every figure. Nothing in it names this machine or its user."""
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        **{library: found for library in _LIBRARIES if (found := _version(library))},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
