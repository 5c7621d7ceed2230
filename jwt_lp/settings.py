"""What did the operator say?

One mapping, the same keys in every host: upper-case in mappings, lower-case in TOML and as arguments,
`JWT_LP_…` in the environment. Every fault is reported at once, before anything is served.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Self, cast

from jwt_lp.claims import ClaimProfile
from jwt_lp.errors import ConfigurationError, GrammarError
from jwt_lp.fetch import check_url
from jwt_lp.jwk import ALGORITHMS
from jwt_lp.keys import StaticKeys
from jwt_lp.permissions import Grant, Permissions, check_grant, is_pattern
from jwt_lp.policy import EMPTY, Policy
from jwt_lp._custom import from_mapping as custom_profile
from jwt_lp.profiles import RFC9068
from jwt_lp.profiles import named as named_profile
from jwt_lp.requirements import PUBLIC, Binding, all_of
from jwt_lp.routes import Rules

MAX_LEEWAY: Final = 300
OBSERVE_DAYS: Final = 90

_ISSUER_KEYS: Final = (
    "ISSUER", "AUDIENCE", "ALGORITHMS", "PROFILE", "OWN", "JWKS", "JWKS_URL", "DISCOVERY",
    "LEEWAY", "MAX_LIFETIME", "CEILING", "PATTERNS",
)  # fmt: skip
_TOP_KEYS: Final = (
    "SERVICE", "POLICY", "EXTERNAL", "PUBLIC", "BIND", "URLCONFS", "OBSERVE_UNTIL", "EXPLAIN",
    "SHOW_REQUIREMENT", "ALLOW_HTTP_HOSTS", "ISSUERS",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSettings:
    """One issuer as configured. Exactly one of `static`, `jwks_url` and `discovery` says where its keys are."""

    name: str
    issuer: str
    audience: frozenset[str]
    algorithms: frozenset[str]
    profile: ClaimProfile
    static: StaticKeys | None = None
    jwks_url: str | None = None
    discovery: str | bool = False
    own: bool = False
    patterns: bool = False
    leeway: float = 0.0
    max_lifetime: float = 86400.0
    ceiling: Permissions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the operator said, checked. Make it with `from_mapping` or `from_env`."""

    issuers: tuple[IssuerSettings, ...]
    service: str = ""
    policy: Policy = EMPTY
    rules: Rules = field(default_factory=Rules)
    bind: Mapping[str, Binding] = field(default_factory=lambda: MappingProxyType({}))
    urlconfs: tuple[str, ...] = ()
    observe_until: date | None = None
    explain: bool = False
    show_requirement: bool = True
    allow_http_hosts: frozenset[str] = frozenset()
    development: bool = False

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, object] | Self, *, environ: Mapping[str, str] | None = None, today: date | None = None
    ) -> Self:
        """Read a settings mapping; `ConfigurationError` lists every fault and names the nearest known key.

        `environ` (the process's by default) is asked only whether this is development (`JWT_LP_DEV=1`).
        `today` is the day that `OBSERVE_UNTIL` is held against, in UTC.
        """
        if isinstance(mapping, cls):
            return mapping
        development = (os.environ if environ is None else environ).get("JWT_LP_DEV") == "1"
        reader = _Reader(mapping, "JWT_LP")
        settings = reader.settings(development=development, today=today or datetime.now(UTC).date())
        if reader.faults:
            raise ConfigurationError(*reader.faults)
        return cls(**settings)  # type: ignore[arg-type]

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read `JWT_LP_…` variables: `JWT_LP_ISSUER`, `JWT_LP_ISSUERS__AUTH0__ISSUER`, lists comma-separated."""
        variables = os.environ if environ is None else environ
        tree: dict[str, object] = {}
        for name, value in variables.items():
            keys = name.removeprefix("JWT_LP_").split("__")
            if not name.startswith("JWT_LP_") or keys[0] == "DEV":
                continue
            node = tree
            for key in keys[:-1]:
                node = cast("dict[str, object]", node.setdefault(key, {}))
            if isinstance(node, dict):
                node[keys[-1]] = value
        return cls.from_mapping(tree, environ=variables)


def nearest(name: str, known: Collection[str]) -> str:
    """` (did you mean X?)`, or nothing where no known name is near."""
    found = get_close_matches(name.upper(), known, n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""


class _Reader:
    """Reads one mapping and collects its faults; every method returns something usable."""

    def __init__(self, mapping: object, where: str) -> None:
        self.faults: list[str] = []
        self.where = where
        self.values: dict[str, object] = {}
        if not isinstance(mapping, Mapping):
            self.fault(f"is a mapping of settings, not {type(mapping).__name__}")
            return
        for key, value in mapping.items():
            name = str(key).upper()
            if name in self.values:
                self.fault(f"{name} is given twice")
            self.values[name] = value

    def fault(self, text: str) -> None:
        self.faults.append(f"{self.where}: {text}")

    def unknown(self, known: Collection[str]) -> None:
        for name in self.values:
            if name not in known:
                self.fault(f"unknown key {name!a}{nearest(name, known)}")

    def settings(self, *, development: bool, today: date) -> dict[str, object]:
        several = "ISSUERS" in self.values
        self.unknown(_TOP_KEYS if several else (*_TOP_KEYS, *_ISSUER_KEYS))
        hosts = frozenset(self.texts("ALLOW_HTTP_HOSTS"))
        if hosts and not development:
            self.fault("ALLOW_HTTP_HOSTS is for development: set JWT_LP_DEV=1 there, and take it out elsewhere")
        explain = self.flag("EXPLAIN")
        if explain and not development:
            self.fault("EXPLAIN tells clients why they were refused: it needs JWT_LP_DEV=1")
        return {
            "issuers": self.issuers(several=several, hosts=hosts),
            "service": self.text("SERVICE") or "",
            "policy": self.policy(),
            "rules": self.rules(),
            "bind": self.bind(several=several),
            "urlconfs": self.texts("URLCONFS"),
            "observe_until": self.observe_until(today),
            "explain": explain,
            "show_requirement": self.flag("SHOW_REQUIREMENT", default=True),
            "allow_http_hosts": hosts,
            "development": development,
        }

    def issuers(self, *, several: bool, hosts: frozenset[str]) -> tuple[IssuerSettings, ...]:
        if not several:
            found = [self.issuer("default", several=False, hosts=hosts)]
        else:
            named = self.values["ISSUERS"]
            if not isinstance(named, Mapping) or not named:
                self.fault("ISSUERS is a mapping from a name of yours to one issuer's settings")
                return ()
            found = []
            for name, mapping in named.items():
                reader = _Reader(mapping, f"{self.where}['ISSUERS'][{name!r}]")
                reader.unknown(_ISSUER_KEYS)
                found.append(reader.issuer(str(name).lower(), several=len(named) > 1, hosts=hosts))
                self.faults += reader.faults
        issuers = tuple(issuer for issuer in found if issuer is not None)
        for name in {each.name for each in issuers}:
            if sum(each.name == name for each in issuers) > 1:
                self.fault(f"ISSUERS has two entries called {name!a}: names are compared without case")
        for issuer in {each.issuer for each in issuers}:
            if sum(each.issuer == issuer for each in issuers) > 1:
                self.fault(f"the issuer {issuer!a} is configured twice: give one entry every audience")
        return issuers

    def issuer(self, name: str, *, several: bool, hosts: frozenset[str]) -> IssuerSettings | None:
        before = len(self.faults)
        issuer = self.text("ISSUER", required='the exact "iss" of its tokens, such as "https://login.example.com/"')
        audience = self.texts("AUDIENCE", required='the "aud" that means this service, such as "orders-api"')
        algorithms = self.algorithms()
        keys = self.keys(algorithms, hosts)
        ceiling = self.ceiling(several=several)
        own = self.flag("OWN")
        profile = self.profile()
        numbers = {
            "leeway": self.seconds("LEEWAY", 0.0, MAX_LEEWAY),
            "max_lifetime": self.seconds("MAX_LIFETIME", 86400.0, None),
        }
        patterns = self.flag("PATTERNS")
        if len(self.faults) > before:
            return None
        return IssuerSettings(
            name=name,
            issuer=cast(str, issuer),
            audience=frozenset(audience),
            algorithms=algorithms,
            profile=profile,
            own=own,
            patterns=patterns,
            ceiling=ceiling,
            **numbers,
            **keys,  # type: ignore[arg-type]
        )

    def algorithms(self) -> frozenset[str]:
        names = frozenset(self.texts("ALGORITHMS", required='what its keys sign with, such as ["RS256"]'))
        for name in sorted(names - set(ALGORITHMS)):
            self.fault(f"ALGORITHMS: {name!a} is not supported{nearest(name, ALGORITHMS)}")
        symmetric = {name for name in names if name.startswith("HS")}
        if symmetric and names - symmetric:
            # INVARIANT: a public key can never be taken for a secret where no secret is expected (RFC 8725, 3.1).
            self.fault("ALGORITHMS mixes HS… with public-key algorithms: one issuer signs with one kind")
        return names

    def keys(self, algorithms: frozenset[str], hosts: frozenset[str]) -> dict[str, object]:
        given = [key for key in ("JWKS", "JWKS_URL", "DISCOVERY") if self.values.get(key)]
        if len(given) != 1:
            what = "none is given" if not given else f"{' and '.join(given)} are given"
            self.fault(f"needs exactly one of JWKS, JWKS_URL and DISCOVERY, and {what}")
            return {}
        if given == ["JWKS"]:
            return self.static(algorithms)
        if any(name.startswith("HS") for name in algorithms):
            self.fault(f"{given[0]}: a secret is never fetched; HS… keys stand in JWKS")
        if given == ["DISCOVERY"] and self.values["DISCOVERY"] in (True, "true", "1"):
            return {"discovery": True, **self.url("ISSUER", hosts, keep=None)}
        return self.url(given[0], hosts, keep=given[0].lower())

    def static(self, algorithms: frozenset[str]) -> dict[str, object]:
        jwks = self.values["JWKS"]
        if not isinstance(jwks, Mapping):
            self.fault('JWKS is the key set itself, a mapping {"keys": [...]}; for an address use JWKS_URL')
            return {}
        try:
            return {"static": StaticKeys.from_jwks(jwks, algorithms or None)}
        except ConfigurationError as error:
            self.faults += [f"{self.where}: JWKS: {fault}" for fault in error.faults]
            return {}

    def url(self, key: str, hosts: frozenset[str], *, keep: str | None) -> dict[str, object]:
        url = self.text(key)
        fault = check_url(url, hosts) if url else None
        if fault:
            self.fault(f"{key}: {fault}")
        return {keep: url} if keep else {}

    def ceiling(self, *, several: bool) -> Permissions | None:
        grants = self.texts("CEILING")
        for grant in grants:
            try:
                check_grant(grant)
            except GrammarError as error:
                self.fault(f"CEILING: {error}")
        if "CEILING" in self.values:
            return Permissions.of(Grant(grant, "CEILING", pattern=is_pattern(grant)) for grant in grants)
        if several:
            self.fault('CEILING is needed with several issuers: what this one may confer at all, such as ["orders:**"]')
        return None

    def profile(self) -> ClaimProfile:
        value = self.values.get("PROFILE", "rfc9068")
        if isinstance(value, ClaimProfile):
            return value
        try:
            return custom_profile(value) if isinstance(value, Mapping) else named_profile(str(value))
        except ConfigurationError as error:
            self.faults += [f"{self.where}: PROFILE: {fault}" for fault in error.faults]
            return RFC9068

    def policy(self) -> Policy:
        value = self.values.get("POLICY")
        try:
            if isinstance(value, Policy):
                return value
            if isinstance(value, Mapping):
                return Policy.from_mapping(value)
            if isinstance(value, (str, os.PathLike)):
                return Policy.load(value)
        except ConfigurationError as error:
            self.faults += [f"{self.where}: POLICY: {fault}" for fault in error.faults]
            return EMPTY
        if value is not None:
            self.fault("POLICY is the path of a least-privilege.toml")
        return EMPTY

    def rules(self) -> Rules:
        external = self.values.get("EXTERNAL", {})
        if not isinstance(external, Mapping) or not all(isinstance(rule, str) for rule in external):
            self.fault('EXTERNAL is a mapping from a rule to a reason, such as {"admin": "session login"}')
            external = {}
        try:
            return Rules.of(cast("Mapping[str, str]", external), self.texts("PUBLIC"), PUBLIC)
        except ConfigurationError as error:
            self.faults += [f"{self.where}: {fault}" for fault in error.faults]
            return Rules()

    def bind(self, *, several: bool) -> Mapping[str, Binding]:
        value = self.values.get("BIND", {})
        if not isinstance(value, Mapping):
            self.fault('BIND is a mapping from a route parameter to a claim, such as {"tenant_id": ["org", "id"]}')
            return {}
        bindings: dict[str, Binding] = {}
        for parameter, path in value.items():
            try:
                *_, binding = all_of("unused", where={parameter: path}).leaves()
            except ConfigurationError as error:
                self.faults += [f"{self.where}: BIND: {fault}" for fault in error.faults]
                continue
            bindings[str(parameter)] = cast(Binding, binding)
        for binding in bindings.values():
            self.faults += [f"{self.where}: BIND: {each}" for each in self.binding_faults(binding, several=several)]
        return MappingProxyType(bindings)

    def binding_faults(self, binding: Binding, *, several: bool) -> list[str]:
        named = self.values.get("ISSUERS")
        names = [str(name).lower() for name in named] if several and isinstance(named, Mapping) else ["default"]
        return binding.faults(names)

    def observe_until(self, today: date) -> date | None:
        value = self.values.get("OBSERVE_UNTIL")
        if value is None:
            return None
        try:
            until = value if isinstance(value, date) and not isinstance(value, datetime) else date.fromisoformat(str(value))
        except ValueError:
            self.fault("OBSERVE_UNTIL is a date such as 2027-01-31")
            return None
        if until > today + timedelta(days=OBSERVE_DAYS):
            self.fault(f"OBSERVE_UNTIL is more than {OBSERVE_DAYS} days ahead: nothing would be enforced until then")
        return until

    def text(self, key: str, *, required: str | None = None) -> str | None:
        value = self.values.get(key)
        if isinstance(value, str) and value:
            return value
        if value not in (None, ""):
            self.fault(f"{key} is a string, not {type(value).__name__}")
        elif required:
            self.fault(f"{key} is missing: {required}")
        return None

    def texts(self, key: str, *, required: str | None = None) -> tuple[str, ...]:
        value = self.values.get(key)
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")] if value.strip() else []
        if value is None or (isinstance(value, Collection) and not value):
            if required:
                self.fault(f"{key} is missing: {required}")
            return ()
        if isinstance(value, Mapping) or not isinstance(value, Collection):
            self.fault(f"{key} is a list of strings, not {type(value).__name__}")
            return ()
        if not all(isinstance(each, str) and each for each in value):
            self.fault(f"{key} is a list of non-empty strings")
            return ()
        return tuple(cast("Collection[str]", value))

    def flag(self, key: str, *, default: bool = False) -> bool:
        value = self.values.get(key, default)
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
        if isinstance(value, str):
            value = words.get(value.lower(), value)
        if not isinstance(value, bool):
            self.fault(f"{key} is True or False")
            return default
        return value

    def seconds(self, key: str, default: float, most: float | None) -> float:
        value = self.values.get(key, default)
        try:
            number = float(cast(str, value)) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1
        except ValueError:
            number = -1
        if isinstance(value, timedelta):
            number = value.total_seconds()
        if not 0 <= number <= (most if most is not None else 10 * 365 * 86400):
            self.fault(f"{key} is a number of seconds from 0 to {most if most is not None else 'ten years'}")
            return default
        return number
