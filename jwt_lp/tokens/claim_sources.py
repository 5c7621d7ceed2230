"""Claim sources: the claims of a token that hold permissions or outside roles.

A claim must have the shape that its issuer uses, otherwise the token is refused. The values are plain strings here;
they are interpreted later.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import InvalidToken
from jwt_lp.permissions.grants import is_scope_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    """One claim that confers permissions or roles.

    `path` is the claim's keys, where `*` stands for every key of an object. `kind` says whether the values are
    permissions or the names of outside roles. `shape` says whether they are one space-separated text, a list, either,
    or SCIM's list of objects with a `value` (RFC 7643, section 2.4). `when` says whether the claim counts always or
    only in tokens of users or of applications. `label` is the prefix by which the policy refers to a value
    (`from = ["realm:orders-clerk"]`). A key matched by `*` comes between the two, with its `%` and `:` written as
    `%25` and `%3A`, so that no two claims share a name.
    """

    path: tuple[str, ...]
    label: str
    kind: Literal["permissions", "roles"] = "permissions"
    shape: Literal["text", "list", "either", "scim"] = "list"
    when: Literal["always", "users", "apps"] = "always"

    def applies(self, *, app: bool) -> bool:
        """Return whether the claim counts in a token of an application (`app`), or of a user."""
        return self.when == "always" or (self.when == "apps") is app

    def read(self, claims: Mapping[str, object]) -> list[tuple[str, str, tuple[str, ...]]]:
        """Return (claim, prefix of the outside names, values) for each place where the claim is found.

        Raises `InvalidToken` if the claim has another shape.
        """
        first = self.path[0]
        if first != "*":
            if first not in claims:
                return []
            if len(self.path) == 1:
                return [(first, f"{self.label}:", self._values(claims[first]))]
        places = self._find(claims, self.path, f"{self.label}:")
        return [(str(self), prefix, self._values(value)) for prefix, value in places]

    def _find(self, node: object, path: tuple[str, ...], prefix: str) -> Iterator[tuple[str, object]]:
        if not path:
            yield prefix, node
        elif not is_json_object(node):
            raise InvalidToken("claim_type", f"{self} cannot be reached: its parent is not an object")
        elif path[0] == "*":
            for key, child in node.items():
                quoted = key.replace("%", "%25").replace(":", "%3A")
                yield from self._find(child, path[1:], f"{prefix}{quoted}:")
        elif path[0] in node:
            yield from self._find(node[path[0]], path[1:], prefix)

    def _values(self, claim: object) -> tuple[str, ...]:
        if isinstance(claim, str) and self.shape in {"text", "either"}:
            values = claim.split(" ")
            return tuple(values if "" not in values else filter(None, values))
        if is_json_array(claim) and self.shape != "text":
            scim = self.shape == "scim"
            items = [item.get("value") if scim and is_json_object(item) else item for item in claim]
            texts = [item for item in items if isinstance(item, str)]
            if len(texts) == len(items):
                return tuple(filter(None, texts))
        raise InvalidToken("claim_type", f"{self} is not {_SHAPES[self.shape]}")

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class AppRule:
    """A rule by which a token is recognised as an application's own, issued without a user.

    The claim must have the value `equals`, be `absent`, or equal another claim (`same_as`, with `suffix` added).
    """

    claim: str
    equals: str | None = None
    absent: bool = False
    same_as: str | None = None
    suffix: str = ""

    def matches(self, claims: Mapping[str, object]) -> bool:
        """Return whether the claims satisfy the rule. A null claim is neither absent nor equal to anything."""
        if self.absent:
            return self.claim not in claims
        expected = self.equals if self.same_as is None else claims.get(self.same_as)
        return isinstance(expected, str) and claims.get(self.claim) == expected + self.suffix


class ConferredGrants(NamedTuple):
    """The permissions and outside roles that some claim sources confer. The properties compute their values on use.

    `permissions` and `external_roles` hold (claim, prefix of the outside names, values); `no_grants` are values that
    are never permissions.
    """

    permissions: tuple[tuple[str, str, tuple[str, ...]], ...]
    external_roles: tuple[tuple[str, str, tuple[str, ...]], ...]
    no_grants: frozenset[str]

    @property
    def grants(self) -> tuple[tuple[str, str], ...]:
        """Every permission with its claim, without duplicates and without values that no route can require."""
        pairs: dict[tuple[str, str], None] = {}
        for claim, _, values in self.permissions:
            good = values
            # Checked together first, because nearly always all of them are good.
            if not (all(values) and is_scope_token("".join(values)) and self.no_grants.isdisjoint(values)):
                good = tuple(value for value in values if value not in self.no_grants and is_scope_token(value))
            pairs.update(dict.fromkeys(zip(good, repeat(claim))))
        return tuple(pairs)

    @property
    def roles(self) -> tuple[str, ...]:
        """The outside names of the roles, without duplicates."""
        return _prefixed_names(self.external_roles)

    @property
    def external_names(self) -> tuple[str, ...]:
        """All outside names, also of permissions (`scope:orders.read`), without duplicates."""
        return _prefixed_names(self.permissions + self.external_roles)

    def with_prefix(self, label: str) -> ConferredGrants:
        """Return a copy with every outside name a second time, prefixed with `label`."""
        permissions, roles = (
            tuple((claim, f"{label}:{prefix}", values) for claim, prefix, values in places)
            for places in (self.permissions, self.external_roles)
        )
        return self._replace(external_roles=(*self.external_roles, *permissions, *roles))


def _prefixed_names(places: tuple[tuple[str, str, tuple[str, ...]], ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(prefix + value for _, prefix, values in places for value in values))
