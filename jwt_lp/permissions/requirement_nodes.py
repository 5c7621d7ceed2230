"""The nodes of a requirement: permissions, templates, claim bindings, all-of and any-of.

A node is evaluated against permissions and claims, not against a token. Its `str()` is the requirement as written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, product
from types import MappingProxyType
from typing import ClassVar, Final

from jwt_lp.errors import ConfigurationError, TemplateError
from jwt_lp.permissions.evaluation import Evaluation, EvaluationContext
from jwt_lp.permissions.templates import TemplateParts, claim_at, fill_template, matches_claim, parse_template

_SHOWN: Final = 32
# Proxies limit a response's headers, some to 4 kB, and a client chooses the parameters.
_MAX_FILLED_SCOPE: Final = 1024
# Alternatives are texts, and each refusal fills those of its requirement again.
_parts_of: Final = lru_cache(maxsize=1024)(parse_template)
_NO_PARAMETERS: Final[Mapping[str, object]] = MappingProxyType({})


class Requirement(ABC):
    """What a route requires. Compose with `&`, `|`, `all_of` and `any_of`; `str()` gives it as written."""

    __slots__ = ()
    requires_token: ClassVar[bool] = True

    key: object = None
    """A hashable value, equal for equal requirements only; None if the decision depends on the route's parameters."""

    @abstractmethod
    def evaluate(self, context: EvaluationContext) -> Evaluation:
        """Evaluate without raising; a term that cannot be evaluated is missing."""

    @abstractmethod
    def atoms(self) -> Iterator[Requirement]:
        """Every permission and binding in it, in the order written."""

    @property
    def names(self) -> frozenset[str]:
        """The route parameters it reads."""
        return frozenset(name for leaf in self.atoms() for name in leaf.names)

    @property
    def permissions(self) -> tuple[str, ...]:
        """The permissions it names, templates as written, without repetition."""
        return tuple(dict.fromkeys(leaf.template for leaf in self.atoms() if isinstance(leaf, PermissionRequirement)))

    def scope(self, params: Mapping[str, object] = _NO_PARAMETERS) -> str | None:
        """The first alternative's permissions with `params` filled in, for `scope` (RFC 6750, section 3).

        None if there are none, if one cannot be filled, or if what was filled in makes them longer than 1,024
        characters.
        """
        first = self.alternatives()[0]
        if not any("{" in text for text in first):
            return " ".join(first) or None
        try:
            filled = [fill_template(_parts_of(text), params) if "{" in text else text for text in first]
        except TemplateError:
            return None
        scope = " ".join(dict.fromkeys(filled))
        return scope if len(scope) <= _MAX_FILLED_SCOPE else None

    @property
    def enforced(self) -> bool:
        """Whether it is enforced even in observe mode."""
        return False

    @property
    def session(self) -> str | None:
        """Why a request without a token may pass with a session of the host; None where it may not."""
        return None

    def alternatives(self) -> list[tuple[str, ...]]:
        """The sets of permissions of which one is enough, as written and in order; at most 32, without bindings."""
        return [()]

    def with_bindings(self, bindings: Mapping[str, Binding]) -> Requirement:
        """The same requirement plus `bindings` (by parameter), in each alternative that does not opt out."""
        return AllOf((self, *bindings.values())) if bindings else self

    def __and__(self, other: Requirement | str) -> Requirement:
        return AllOf(to_nodes("&", (self, other)))

    def __or__(self, other: Requirement | str) -> Requirement:
        return AnyOf(to_nodes("|", (self, other)))

    def __rand__(self, other: str) -> Requirement:
        return AllOf(to_nodes("&", (other, self)))

    def __ror__(self, other: str) -> Requirement:
        return AnyOf(to_nodes("|", (other, self)))

    def __repr__(self) -> str:
        return f"<Requirement {self}>"


@dataclass(frozen=True, slots=True, repr=False)
class PermissionRequirement(Requirement):
    """One permission, or a template of one."""

    template: str
    parts: TemplateParts = ()
    # Computed once, because every decision reads them.
    key: object = field(init=False, compare=False)
    _missing: Evaluation = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", None if self.parts else self.template)
        object.__setattr__(self, "_missing", Evaluation(missing=(self.template,)))

    @classmethod
    def parse(cls, text: str) -> PermissionRequirement:
        """Parse a permission or a template; `ConfigurationError` if it could never be granted."""
        return cls(text, parse_template(text))

    def evaluate(self, context: EvaluationContext) -> Evaluation:
        permission = self.template
        if self.parts:
            try:
                permission = fill_template(self.parts, context.params)
            except TemplateError as error:
                fault = f"{self.template}: {error}"
                return self._missing._replace(faults=(fault,) if error.configured else ())
        grant = context.held.grant_for(permission)
        return self._missing if grant is None else Evaluation(((self.template, grant),))

    def fill(self, params: Mapping[str, object]) -> str:
        """The required permission for these parameters; `TemplateError` if they cannot fill the template."""
        return fill_template(self.parts, params)

    def atoms(self) -> Iterator[Requirement]:
        yield self

    @property
    def names(self) -> frozenset[str]:
        return frozenset(part[0] for part in self.parts if not isinstance(part, str))

    def alternatives(self) -> list[tuple[str, ...]]:
        return [(self.template,)]

    def __str__(self) -> str:
        return self.template


@dataclass(frozen=True, slots=True, repr=False)
class Binding(Requirement):
    """A route parameter must equal a claim. `paths` maps an issuer's name to the claim's path; "" is any issuer."""

    parameter: str
    paths: tuple[tuple[str, tuple[str, ...]], ...]

    def evaluate(self, context: EvaluationContext) -> Evaluation:
        claim = claim_at(context.claims, self._path(context.issuer))
        matches = matches_claim(context.params.get(self.parameter), claim)
        return Evaluation() if matches else Evaluation(missing=(str(self),))

    def _path(self, issuer: str) -> tuple[str, ...]:
        paths = dict(self.paths)
        return paths.get(issuer, paths.get("", ()))

    def atoms(self) -> Iterator[Requirement]:
        yield self

    def faults(self, issuers: Sequence[str]) -> list[str]:
        """The faults of the binding if these issuers (by name) are configured."""
        names = [issuer for issuer, _ in self.paths]
        if len(issuers) > 1 and "" in names:
            return [f"{self}: with several issuers a binding has to name its issuer: {{{issuers[0]!r}: 'sub', ...}}"]
        known = (*issuers, "")
        return [
            f"{self}: no issuer is called {issuer!a}; there is {', '.join(issuers)}"
            for issuer in names
            if issuer not in known
        ]

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.parameter,))

    def __str__(self) -> str:
        return f"{self.parameter}=" + ",".join(
            f"{issuer}/{'.'.join(path)}" if issuer else ".".join(path) for issuer, path in self.paths
        )


@dataclass(frozen=True, slots=True, repr=False)
class AllOf(Requirement):
    """All parts are required. `BIND` does not apply to parameters in `unbound`; `enforce` overrides observe mode."""

    parts: tuple[Requirement, ...]
    unbound: frozenset[str] = frozenset()
    enforce: bool = False
    key: object = field(init=False, compare=False)
    _text: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _check_parts(self.parts)
        keys = _keys(self.parts)
        written = " & ".join([f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts])
        text = f"{written} unbound {','.join(sorted(self.unbound))}" if self.unbound else written
        object.__setattr__(self, "key", None if keys is None else ("all", self.unbound, self.enforce, keys))
        object.__setattr__(self, "_text", text)

    def evaluate(self, context: EvaluationContext) -> Evaluation:
        outcomes = [part.evaluate(context) for part in self.parts]
        return Evaluation(
            tuple(dict.fromkeys(credit for outcome in outcomes for credit in outcome.credits)),
            tuple(dict.fromkeys(term for outcome in outcomes for term in outcome.missing)),
            tuple(dict.fromkeys(fault for outcome in outcomes for fault in outcome.faults)),
        )

    def atoms(self) -> Iterator[Requirement]:
        for part in self.parts:
            yield from part.atoms()

    def alternatives(self) -> list[tuple[str, ...]]:
        choices = product(*(part.alternatives() for part in self.parts))
        return [tuple(dict.fromkeys(text for texts in choice for text in texts)) for choice in islice(choices, _SHOWN)]

    def with_bindings(self, bindings: Mapping[str, Binding]) -> Requirement:
        kept = tuple(binding for name, binding in bindings.items() if name not in self.unbound)
        return AllOf((*self.parts, *kept), self.unbound, self.enforce) if kept else self

    @property
    def enforced(self) -> bool:
        return self.enforce or any(part.enforced for part in self.parts)

    def __str__(self) -> str:
        return self._text


@dataclass(frozen=True, slots=True, repr=False)
class AnyOf(Requirement):
    """At least one part is required."""

    parts: tuple[Requirement, ...]
    key: object = field(init=False, compare=False)
    _text: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _check_parts(self.parts)
        keys = _keys(self.parts)
        text = " | ".join([f"({part})" if isinstance(part, AllOf) else str(part) for part in self.parts])
        object.__setattr__(self, "key", None if keys is None else ("any", keys))
        object.__setattr__(self, "_text", text)

    def evaluate(self, context: EvaluationContext) -> Evaluation:
        outcomes: list[Evaluation] = []
        for part in self.parts:
            outcome = part.evaluate(context)
            if outcome.satisfied:
                return outcome
            outcomes.append(outcome)
        missing = outcomes[0].missing
        return Evaluation((), missing, tuple(fault for outcome in outcomes for fault in outcome.faults))

    def atoms(self) -> Iterator[Requirement]:
        for part in self.parts:
            yield from part.atoms()

    def alternatives(self) -> list[tuple[str, ...]]:
        return [texts for part in self.parts for texts in part.alternatives()][:_SHOWN]

    def with_bindings(self, bindings: Mapping[str, Binding]) -> Requirement:
        return AnyOf(tuple(part.with_bindings(bindings) for part in self.parts))

    @property
    def enforced(self) -> bool:
        return any(part.enforced for part in self.parts)

    def __str__(self) -> str:
        return self._text


@dataclass(frozen=True, slots=True, repr=False)
class OrSession(Requirement):
    """`inner`, or for a request without a token a session of the host; `reason` says why, and is listed."""

    inner: Requirement
    reason: str
    key: object = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # INVARIANT: the key is not that of `inner`, which a session does not satisfy.
        key = None if self.inner.key is None else ("session", self.inner.key, self.reason)
        object.__setattr__(self, "key", key)

    def evaluate(self, context: EvaluationContext) -> Evaluation:
        return self.inner.evaluate(context)

    def atoms(self) -> Iterator[Requirement]:
        return self.inner.atoms()

    def alternatives(self) -> list[tuple[str, ...]]:
        return self.inner.alternatives()

    def with_bindings(self, bindings: Mapping[str, Binding]) -> Requirement:
        return OrSession(self.inner.with_bindings(bindings), self.reason)

    @property
    def enforced(self) -> bool:
        return self.inner.enforced

    @property
    def session(self) -> str | None:
        return self.reason

    def __str__(self) -> str:
        return f"{self.inner}, or a session: {self.reason}"


def _check_parts(parts: Sequence[Requirement]) -> None:
    for part in parts:
        if part.session is not None:
            raise ConfigurationError(
                f"{part} cannot be part of another requirement: write or_session once, for the whole declaration"
            )


def _keys(parts: Sequence[Requirement]) -> tuple[object, ...] | None:
    keys = tuple([part.key for part in parts])
    return None if None in keys else keys


def to_nodes(verb: str, parts: tuple[Requirement | str, ...]) -> tuple[Requirement, ...]:
    """The parts as nodes; `ConfigurationError` if there are none, if one is open to all, or if one is a bare list."""
    if not parts:
        raise ConfigurationError(
            f"{verb}() without a permission requires nothing: name one, or use authenticated or public"
        )
    return tuple(_node(verb, part) for part in parts)


def _node(verb: str, part: object) -> Requirement:
    if isinstance(part, Requirement) and not part.requires_token:
        raise ConfigurationError(f"{part} cannot be part of {verb}(): it would make the whole requirement open")
    if isinstance(part, Requirement):
        return part
    if isinstance(part, str):
        return PermissionRequirement.parse(part)
    raise ConfigurationError(
        f"{verb}() takes permissions and requirements, not {type(part).__name__}; "
        'write all_of("a", "b") or any_of("a", "b")'
    )
