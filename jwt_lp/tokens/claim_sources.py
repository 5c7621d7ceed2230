"""What does one claim confer?

A claim is read as its issuer shapes it, or refused; what comes out are texts, which mean nothing yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import InvalidToken
from jwt_lp.permissions.grants import is_scope_token

_SHAPES: Final = MappingProxyType(
    {
        "text": "one space-separated string",
        "list": "a list of strings",
        "either": "a string or a list of strings",
        "scim": "a list of strings or of objects with a value",
    }
)


@dataclass(frozen=True, slots=True)
class ClaimSource:
    """One claim that confers something.

    `path` is the claim's keys, `*` standing for every key of an object; `kind` says whether the values are
    permissions or the names of outside roles; `shape` whether they are one space-separated text, a list, either,
    or SCIM's list of objects with a `value` (RFC 7643, section 2.4); `when` whether the claim counts always or
    only in tokens of users or of applications. `label` prefixes the value where the policy refers to it
    (`from = ["realm:orders-clerk"]`). A key that `*` stands for comes between the two, its `%` and `:` as
    `%25` and `%3A`, so that no two claims are known by one name.
    """

    path: tuple[str, ...]
    label: str
    kind: Literal["permissions", "roles"] = "permissions"
    shape: Literal["text", "list", "either", "scim"] = "list"
    when: Literal["always", "users", "apps"] = "always"

    def applies(self, *, app: bool) -> bool:
        """Whether it counts in a token of an application (`app`), or of a user."""
        return self.when == "always" or (self.when == "apps") is app

    def read(self, claims: Mapping[str, object]) -> list[tuple[str, str, tuple[str, ...]]]:
        """Give (claim, what stands before the outside names, values) for each place where the claim is found.

        `InvalidToken` where the claim has another shape than the issuer's.
        """
        first = self.path[0]
        if first != "*":
            if first not in claims:
                return []
            if len(self.path) == 1:
                return [(first, f"{self.label}:", self._values(claims[first]))]
        found = self._at(claims, self.path, f"{self.label}:")
        return [(str(self), prefix, self._values(value)) for prefix, value in found]

    def _at(self, node: object, path: tuple[str, ...], prefix: str) -> Iterator[tuple[str, object]]:
        if not path:
            yield prefix, node
        elif not is_json_object(node):
            raise InvalidToken("claim_type", f"{self} cannot be reached: its parent is not an object")
        elif path[0] == "*":
            for key, below in node.items():
                quoted = key.replace("%", "%25").replace(":", "%3A")
                yield from self._at(below, path[1:], f"{prefix}{quoted}:")
        elif path[0] in node:
            yield from self._at(node[path[0]], path[1:], prefix)

    def _values(self, found: object) -> tuple[str, ...]:
        if isinstance(found, str) and self.shape in {"text", "either"}:
            values = found.split(" ")
            return tuple(values if "" not in values else filter(None, values))
        if is_json_array(found) and self.shape != "text":
            scim = self.shape == "scim"
            listed = [each.get("value") if scim and is_json_object(each) else each for each in found]
            texts = [value for value in listed if isinstance(value, str)]
            if len(texts) == len(listed):
                return tuple(filter(None, texts))
        raise InvalidToken("claim_type", f"{self} is not {_SHAPES[self.shape]}")

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class AppRule:
    """One sign that a token is an application's own, no user behind it.

    The claim has the value `equals`, is `absent`, or equals another claim (`same_as`, with `suffix` added).
    """

    claim: str
    equals: str | None = None
    absent: bool = False
    same_as: str | None = None
    suffix: str = ""

    def matches(self, claims: Mapping[str, object]) -> bool:
        """Whether the sign is there. A claim that is null is neither absent nor equal to anything."""
        if self.absent:
            return self.claim not in claims
        wanted = self.equals if self.same_as is None else claims.get(self.same_as)
        return isinstance(wanted, str) and claims.get(self.claim) == wanted + self.suffix


class ConferredGrants(NamedTuple):
    """What some sources confer. It is put together only as far as somebody asks.

    `permissions` are (claim, what stands before the outside names, values), `external_roles` the same of roles;
    `no_grants` are values that are never permissions.
    """

    permissions: tuple[tuple[str, str, tuple[str, ...]], ...]
    external_roles: tuple[tuple[str, str, tuple[str, ...]], ...]
    no_grants: frozenset[str]

    @property
    def grants(self) -> tuple[tuple[str, str], ...]:
        """Every permission with the claim it stood in, each once; what no route can ask for is left out."""
        pairs = ((value, claim) for claim, _, values in self.permissions for value in values)
        return tuple(dict.fromkeys(pair for pair in pairs if pair[0] not in self.no_grants and is_scope_token(pair[0])))

    @property
    def roles(self) -> tuple[str, ...]:
        """The outside names of roles, each once."""
        return _prefixed_names(self.external_roles)

    @property
    def external_names(self) -> tuple[str, ...]:
        """Every outside name, those of permissions too (`scope:orders.read`), each once."""
        return _prefixed_names(self.permissions + self.external_roles)

    def with_prefix(self, label: str) -> ConferredGrants:
        """The same, every outside name standing there once more with `label` before it."""
        permissions, roles = (
            tuple((claim, f"{label}:{prefix}", values) for claim, prefix, values in places)
            for places in (self.permissions, self.external_roles)
        )
        return self._replace(external_roles=(*self.external_roles, *permissions, *roles))


def _prefixed_names(places: tuple[tuple[str, str, tuple[str, ...]], ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(prefix + value for _, prefix, values in places for value in values))
