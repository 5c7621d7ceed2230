"""The 440 operations of a public API, each with the permission it needs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from prerequisites import require

FILE = Path(__file__).parents[2] / "shared" / "data" / "endpoint_permissions.json"
# The only path that the source writes as a regular expression: an optional folder.
_REGEX = ("readme(?:/(.*))?", "readme/{path}")


@dataclass(frozen=True, order=True)
class Operation:
    """One operation. `order` sorts literal segments before placeholders, for routers that take the first match."""

    order: tuple[str, ...]
    template: str
    method: str
    permission: str

    @property
    def path(self) -> str:
        """A path that only this template matches."""
        return re.sub(r"\{(\w+)\}", r"~\1", self.template)

    @property
    def shape(self) -> tuple[str, str]:
        """The part of an operation that a router distinguishes; names of parameters are not in it."""
        return self.method, re.sub(r"\{\w+\}", "{}", self.template)

    def written(self, placeholder: str) -> str:
        r"""The template with another host's placeholders, such as `<str:\1>`."""
        return re.sub(r"\{(\w+)\}", placeholder, self.template)


def load_operations() -> list[Operation]:
    require(FILE.exists(), f"the map of operations, expected at {FILE}")
    operations = []
    for path, methods in json.loads(FILE.read_text("utf-8"))["paths"].items():
        template = path.replace(*_REGEX)
        order = tuple("\x7f" if "{" in segment else segment for segment in template.split("/"))
        operations += [
            Operation(order, template, method, f"{needed['permission']}:{needed['access']}")
            for method, needed in methods.items()
        ]
    return sorted(operations)
