"""What does this route ask for, here?

A requirement is a tree of permissions (templates allowed) and claim bindings under all-of and any-of. It
knows sets, not tokens; it prints as it was written, and what is wrong with it is a `ConfigurationError` when it
is made.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, TypeAlias

from jwt_lp.errors import ConfigurationError, TemplateError
from jwt_lp.permissions import MAX_LENGTH, Grant, Permission, Permissions, fits, is_scope_token, is_segment

ClaimPath: TypeAlias = "str | Sequence[str]"
Where: TypeAlias = "Mapping[str, ClaimPath | Mapping[str, ClaimPath]]"

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(!e)?\}")


class Facts(NamedTuple):
    """What a requirement is held against: grants, the route's parameters, the token's claims and issuer."""

    held: Permissions
    params: Mapping[str, object]
    claims: Mapping[str, object]
    issuer: str


class Outcome(NamedTuple):
    """What came of it: the grants that served, what is missing (as written), and faults of configuration."""

    used: tuple[Grant, ...] = ()
    missing: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def satisfied(self) -> bool:
        return not self.missing


class Requirement(ABC):
    """What a route asks for. Compose with `&`, `|`, `all_of` and `any_of`; `str()` gives it as written."""

    __slots__ = ()
    asks_token: ClassVar[bool] = True

    @property
    def literal(self) -> str | None:
        """The one permission it asks for, where that is all it asks for; otherwise None."""
        return None

    @abstractmethod
    def hold(self, facts: Facts) -> Outcome:
        """Evaluate; never raises. What cannot be evaluated is missing."""

    @abstractmethod
    def leaves(self) -> Iterator[Requirement]:
        """Every permission and binding in it, in the order written."""

    @property
    def names(self) -> frozenset[str]:
        """The route parameters it reads."""
        return frozenset(name for leaf in self.leaves() for name in leaf.names)

    @property
    def permissions(self) -> tuple[str, ...]:
        """The permissions it names, templates as written, without repetition."""
        return tuple(dict.fromkeys(leaf.template for leaf in self.leaves() if isinstance(leaf, Term)))

    @property
    def scope(self) -> str | None:
        """The first alternative's permissions, for RFC 6750's `scope`; None where one is a template."""
        named = self.first()
        return None if not named or any("{" in each for each in named) else " ".join(dict.fromkeys(named))

    @property
    def enforced(self) -> bool:
        """Whether it is enforced even while the operator only observes."""
        return False

    def first(self) -> tuple[str, ...]:
        """The permissions of the first alternative, as written."""
        return ()

    def bound(self, bindings: Mapping[str, Binding]) -> Requirement:
        """The same with `bindings` (by parameter) demanded too, in each alternative that does not opt out."""
        return _All((self, *bindings.values())) if bindings else self

    def __and__(self, other: Requirement | str) -> Requirement:
        return all_of(self, other)

    def __or__(self, other: Requirement | str) -> Requirement:
        return any_of(self, other)

    def __rand__(self, other: str) -> Requirement:
        return all_of(other, self)

    def __ror__(self, other: str) -> Requirement:
        return any_of(other, self)

    def __repr__(self) -> str:
        return f"<Requirement {self}>"


@dataclass(frozen=True, slots=True, repr=False)
class Term(Requirement):
    """One permission, or a template of one."""

    template: str
    parts: tuple[tuple[str, bool] | str, ...] = ()

    @property
    def literal(self) -> str | None:
        return None if self.parts else self.template

    @classmethod
    def parse(cls, text: str) -> Term:
        if "{" not in text and "}" not in text:
            _check_literal(text)
            return cls(text)
        parts: list[tuple[str, bool] | str] = []
        for segment in text.split(":"):
            found = _PLACEHOLDER.fullmatch(segment)
            if found is not None:
                parts.append((found[1], found[2] is not None))
            elif is_segment(segment):
                parts.append(segment)
            else:
                # Two values in one segment could be told apart by nobody: `a-b` + `c` is `a` + `b-c`.
                raise ConfigurationError(
                    f"{text!a} is not a template: {segment!a} is neither a segment nor one whole {{name}}; "
                    'write e.g. "orders:{order_id}:read"'
                )
        if not fits(text):
            raise ConfigurationError(f"{text!a} is longer than a permission may be ({MAX_LENGTH} characters)")
        return cls(text, tuple(parts))

    def hold(self, facts: Facts) -> Outcome:
        if not self.parts:
            grant = facts.held.serving(self.template)
            return Outcome(missing=(self.template,)) if grant is None else Outcome((grant,))
        try:
            grant = facts.held.serving(self.fill(facts.params))
        except TemplateError as error:
            fault = f"{self.template}: {error}"
            return Outcome(missing=(self.template,), faults=(fault,) if error.configured else ())
        return Outcome(missing=(self.template,)) if grant is None else Outcome((grant,))

    def fill(self, params: Mapping[str, object]) -> str:
        """The permission asked for with these parameters; `TemplateError` where they cannot fill it."""
        filled = ":".join(part if isinstance(part, str) else _filled(part, params) for part in self.parts)
        if not fits(filled):
            msg = "the values make the permission longer than one may be"
            raise TemplateError(msg, configured=False)
        return filled

    def leaves(self) -> Iterator[Requirement]:
        yield self

    @property
    def names(self) -> frozenset[str]:
        return frozenset(part[0] for part in self.parts if not isinstance(part, str))

    def first(self) -> tuple[str, ...]:
        return (self.template,)

    def __str__(self) -> str:
        return self.template


def _check_literal(text: str) -> None:
    if not is_scope_token(text):
        raise ConfigurationError(
            f"{text!a} can never be granted: a permission is one or more characters of RFC 6749's scope alphabet"
        )
    if "*" in text:
        raise ConfigurationError(
            f"{text!a} has a wildcard: wildcards belong in grants; a requirement names what is asked for"
        )
    if not fits(text):
        raise ConfigurationError(f"{text!a} is longer than a permission may be ({MAX_LENGTH} characters)")


def _filled(part: tuple[str, bool], params: Mapping[str, object]) -> str:
    name, encode = part
    if name not in params:
        msg = f"the route has no parameter {name}"
        raise TemplateError(msg, configured=True)
    return Permission.segment(params[name], encode=encode)


@dataclass(frozen=True, slots=True, repr=False)
class Binding(Requirement):
    """A route parameter must equal a claim. `paths` maps an issuer's name to the claim's path; "" is any."""

    parameter: str
    paths: tuple[tuple[str, tuple[str, ...]], ...]

    def hold(self, facts: Facts) -> Outcome:
        held = _equal(facts.params.get(self.parameter), _claim(facts.claims, self._path(facts.issuer)))
        return Outcome() if held else Outcome(missing=(str(self),))

    def _path(self, issuer: str) -> tuple[str, ...]:
        paths = dict(self.paths)
        return paths.get(issuer, paths.get("", ()))

    def leaves(self) -> Iterator[Requirement]:
        yield self

    def faults(self, issuers: Sequence[str]) -> list[str]:
        """What is wrong with it where these issuers (by name) are configured."""
        named = [issuer for issuer, _ in self.paths]
        if len(issuers) > 1 and "" in named:
            return [f"{self}: with several issuers a binding names its issuer: {{{issuers[0]!r}: 'sub', ...}}"]
        known = (*issuers, "")
        return [f"{self}: no issuer is called {issuer!a}; there is {', '.join(issuers)}" for issuer in named if issuer not in known]

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.parameter,))

    def __str__(self) -> str:
        return f"{self.parameter}=" + ",".join(
            f"{issuer}/{'.'.join(path)}" if issuer else ".".join(path) for issuer, path in self.paths
        )


def _claim(claims: object, path: tuple[str, ...]) -> object:
    found: object = claims if path else None
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _equal(value: object, claim: object) -> bool:
    # INVARIANT: absent, null, bool, object and "" equal nothing, not even each other.
    if isinstance(claim, (list, tuple)):
        return any(_equal(value, each) for each in claim if not isinstance(each, (list, tuple)))
    if not (isinstance(claim, str) and claim != "") and type(claim) is not int:
        return False
    try:
        return Permission.segment(value, encode=True) == Permission.segment(claim, encode=True)
    except TemplateError:
        return False


@dataclass(frozen=True, slots=True, repr=False)
class _All(Requirement):
    parts: tuple[Requirement, ...]
    unbound: frozenset[str] = frozenset()
    always: bool = False

    def hold(self, facts: Facts) -> Outcome:
        outcomes = [part.hold(facts) for part in self.parts]
        return Outcome(
            tuple(dict.fromkeys(grant for outcome in outcomes for grant in outcome.used)),
            tuple(dict.fromkeys(each for outcome in outcomes for each in outcome.missing)),
            tuple(dict.fromkeys(each for outcome in outcomes for each in outcome.faults)),
        )

    def leaves(self) -> Iterator[Requirement]:
        for part in self.parts:
            yield from part.leaves()

    def first(self) -> tuple[str, ...]:
        return tuple(each for part in self.parts for each in part.first())

    def bound(self, bindings: Mapping[str, Binding]) -> Requirement:
        kept = tuple(binding for name, binding in bindings.items() if name not in self.unbound)
        return _All((*self.parts, *kept), self.unbound, self.always) if kept else self

    @property
    def enforced(self) -> bool:
        return self.always or any(part.enforced for part in self.parts)

    def __str__(self) -> str:
        written = " & ".join(f"({part})" if isinstance(part, _Any) else str(part) for part in self.parts)
        return f"{written} unbound {','.join(sorted(self.unbound))}" if self.unbound else written


@dataclass(frozen=True, slots=True, repr=False)
class _Any(Requirement):
    parts: tuple[Requirement, ...]

    def hold(self, facts: Facts) -> Outcome:
        outcomes: list[Outcome] = []
        for part in self.parts:
            outcome = part.hold(facts)
            if outcome.satisfied:
                return outcome
            outcomes.append(outcome)
        missing = outcomes[0].missing
        return Outcome((), missing, tuple(each for outcome in outcomes for each in outcome.faults))

    def leaves(self) -> Iterator[Requirement]:
        for part in self.parts:
            yield from part.leaves()

    def first(self) -> tuple[str, ...]:
        return self.parts[0].first()

    def bound(self, bindings: Mapping[str, Binding]) -> Requirement:
        return _Any(tuple(part.bound(bindings) for part in self.parts))

    @property
    def enforced(self) -> bool:
        return any(part.enforced for part in self.parts)

    def __str__(self) -> str:
        return " | ".join(f"({part})" if isinstance(part, _All) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True, repr=False)
class _Authenticated(Requirement):
    def hold(self, facts: Facts) -> Outcome:  # noqa: ARG002 - any valid token will do
        return Outcome()

    def leaves(self) -> Iterator[Requirement]:
        yield self

    @property
    def names(self) -> frozenset[str]:
        return frozenset()

    def __str__(self) -> str:
        return "authenticated"


@dataclass(frozen=True, slots=True, repr=False)
class Open(Requirement):
    """No token is asked for: `public`, or `external` where somebody else guards the route and `reason` says who.

    With `identify`, a good token is hung on the request and any other is ignored.
    """

    reason: str | None = None
    identify: bool = False
    asks_token: ClassVar[bool] = False

    def hold(self, facts: Facts) -> Outcome:  # noqa: ARG002 - nothing is asked for
        return Outcome()

    def leaves(self) -> Iterator[Requirement]:
        return iter(())

    def bound(self, bindings: Mapping[str, Binding]) -> Requirement:  # noqa: ARG002 - no token, no claim
        return self

    def __str__(self) -> str:
        if self.reason is not None:
            return f"external: {self.reason}"
        return "public, identified" if self.identify else "public"


AUTHENTICATED: Final[Requirement] = _Authenticated()
PUBLIC: Final = Open()
IDENTIFIED: Final = Open(identify=True)


def external(reason: str) -> Open:
    """Mark a route as guarded by somebody else; `reason` says who, and is listed."""
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigurationError('external("…") needs a reason that says who guards the route instead')
    return Open(reason)


def all_of(
    *parts: Requirement | str, where: Where | None = None, unbound: Iterable[str] = (), enforce: bool = False
) -> Requirement:
    """Every one of `parts`, and of the bindings in `where`, is asked for.

    `where={"user_id": "sub"}` demands that the route parameter equals the claim; a nested claim is a list of
    keys, and with several issuers a mapping from the issuer's name. `unbound` names parameters that the setting
    `BIND` does not apply to here. `enforce` has it refused even while the operator only observes. `enforce` has it refused even while the operator only observes.
    """
    nodes = _nodes("all_of", parts)
    nodes += tuple(_binding(parameter, path) for parameter, path in (where or {}).items())
    names = frozenset([unbound] if isinstance(unbound, str) else unbound)
    return nodes[0] if len(nodes) == 1 and not names and not enforce else _All(nodes, names, enforce)


def any_of(*parts: Requirement | str) -> Requirement:
    """At least one of `parts` is asked for; the first that is held is the one credited."""
    nodes = _nodes("any_of", parts)
    return nodes[0] if len(nodes) == 1 else _Any(nodes)


def _nodes(verb: str, parts: tuple[Requirement | str, ...]) -> tuple[Requirement, ...]:
    if not parts:
        raise ConfigurationError(
            f"{verb}() without a permission asks for nothing: name one, or use authenticated or public"
        )
    return tuple(_node(verb, part) for part in parts)


def _node(verb: str, part: object) -> Requirement:
    if isinstance(part, Open):
        raise ConfigurationError(f"{part} cannot be part of {verb}(): it would open the whole")
    if isinstance(part, Requirement):
        return part
    if isinstance(part, str):
        return Term.parse(part)
    raise ConfigurationError(
        f"{verb}() takes permissions and requirements, not {type(part).__name__}; "
        'write all_of("a", "b") or any_of("a", "b")'
    )


def _binding(parameter: str, path: ClaimPath | Mapping[str, ClaimPath]) -> Binding:
    if isinstance(path, Mapping) and path:
        return Binding(parameter, tuple((issuer, _path(parameter, each)) for issuer, each in path.items()))
    return Binding(parameter, (("", _path(parameter, path)),))


def _path(parameter: str, path: object) -> tuple[str, ...]:
    keys = (path,) if isinstance(path, str) else tuple(path) if isinstance(path, (list, tuple)) else ()
    if not keys or not all(isinstance(key, str) and key for key in keys):
        raise ConfigurationError(f"the claim for {parameter} is a name or a list of keys, such as 'sub' or ['org', 'id']")
    return keys
