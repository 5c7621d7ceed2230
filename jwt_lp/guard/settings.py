"""What did the operator say?

One mapping, the same keys in every host: upper-case in mappings, lower-case in TOML and as arguments,
`JWT_LP_…` in the environment. Every fault is reported at once, before anything is served.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Self, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import ConfigurationError, clears_locals
from jwt_lp.guard.issuer_settings import ISSUER_KEYS, IssuerReader, IssuerSettings
from jwt_lp.guard.routes import Rules
from jwt_lp.issuing.claim_policy import ClaimPolicy, copy_faults
from jwt_lp.lint.linter import LintOptions
from jwt_lp.permissions.requirements import Binding, Requirement, Where, all_of
from jwt_lp.policy.file import EMPTY_POLICY, Policy, parse_role_source
from jwt_lp.revocation.poller import REFUSE_AFTER, STALE_AFTER
from jwt_lp.stores import Store, is_store

__all__ = ["MAX_OBSERVE_DAYS", "IssuerSettings", "Settings"]

MAX_OBSERVE_DAYS: Final = 90
MIN_KEY_LENGTH: Final = 32
_STORE_KEYS: Final = ("PUSH", "SUBJECTS", "STALE_AFTER", "REFUSE_AFTER", "REVOCATION_START")
_NAME: Final = re.compile(r"[a-z0-9_-]+")

_TOP_KEYS: Final = (
    "SERVICE", "POLICY", "EXTERNAL", "PUBLIC", "BIND", "URLCONFS", "OBSERVE_UNTIL", "EXPLAIN",
    "SHOW_REQUIREMENT", "ALLOW_HTTP_HOSTS", "CLAIMS", "LINT", "STORE", "PUSH", "SUBJECTS", "STALE_AFTER", "REFUSE_AFTER",
    "REVOCATION_START", "ISSUERS",
)  # fmt: skip

# Variables that are no settings: whether this is development, and the token that `jwt-lp explain` reads.
_OTHER_VARIABLES: Final = frozenset({"DEV", "TOKEN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the operator said, checked. Make it with `from_mapping` or `from_env`."""

    issuers: tuple[IssuerSettings, ...]
    service: str = ""
    policy: Policy = EMPTY_POLICY
    rules: Rules = field(default_factory=Rules)
    bind: Mapping[str, Binding] = field(default_factory=lambda: MappingProxyType({}))
    urlconfs: tuple[str, ...] = ()
    observe_until: date | None = None
    explain: bool = False
    show_requirement: bool = True
    allow_http_hosts: frozenset[str] = frozenset()
    claims: Mapping[str, ClaimPolicy] = field(default_factory=lambda: MappingProxyType({}))
    lint: LintOptions = field(default_factory=LintOptions)
    # URLs with passwords, and a key: no repr shows them.
    store: str | Store = field(default="", repr=False)
    push: str = field(default="", repr=False)
    subjects: bytes | None = field(default=b"", repr=False)
    stale_after: float = STALE_AFTER
    refuse_after: float = REFUSE_AFTER
    revocation_start: str = "closed"
    development: bool = False

    @classmethod
    @clears_locals
    def from_mapping(
        cls,
        mapping: Mapping[str, object] | Self,
        *,
        environ: Mapping[str, str] | None = None,
        today: date | None = None,
    ) -> Self:
        """Read a settings mapping; `ConfigurationError` lists every fault and names the nearest known key.

        `environ` (the process's by default) is asked only whether this is development (`JWT_LP_DEV=1`).
        `today` is the day that `OBSERVE_UNTIL` is held against, in UTC.
        """
        if isinstance(mapping, cls):
            return mapping
        development = (os.environ if environ is None else environ).get("JWT_LP_DEV") == "1"
        reader = _SettingsReader(mapping, "JWT_LP")
        settings = reader.settings(development=development, today=today or datetime.now(UTC).date())
        if reader.faults:
            raise ConfigurationError(*reader.faults)
        return cls(**settings)

    @classmethod
    @clears_locals
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read `JWT_LP_…` variables: `JWT_LP_ISSUER`, `JWT_LP_ISSUERS__AUTH0__ISSUER`, `JWT_LP_BIND__TENANT_ID`.

        Lists are comma-separated, but not inside `PROFILE` and `BIND`. `ConfigurationError` as for a mapping, and
        where variables contradict each other.
        """
        variables = os.environ if environ is None else environ
        tree: dict[str, object] = {}
        faults: list[str] = []
        for name, value in variables.items():
            keys = name.removeprefix("JWT_LP_").split("__")
            if keys[0] == "BIND":
                # Variables are written in capitals; parameters are not.
                keys[1:] = [key.lower() for key in keys[1:]]
            if name.startswith("JWT_LP_") and keys[0] not in _OTHER_VARIABLES and not _insert(tree, keys, value):
                faults.append(f"{name} contradicts another variable, or has an empty part")
        if faults:
            raise ConfigurationError(*faults)
        return cls.from_mapping(tree, environ=variables)

    def faults(self, requirement: Requirement) -> tuple[str, ...]:
        """What is wrong with a declaration under these settings; a start-up check lists it."""
        issuers = [issuer.name for issuer in self.issuers]
        bindings = [leaf for leaf in requirement.atoms() if isinstance(leaf, Binding)]
        faults = [fault for leaf in bindings for fault in (*leaf.faults(issuers), *_unvouched(leaf, self.issuers))]
        return tuple(f"{requirement}: {fault}" for fault in faults)

    def external_role_name(self, role: str, issuer: IssuerSettings) -> str:
        """The issuer's own name for a role of the policy; the role itself where the issuer is ours.

        `ConfigurationError` where the policy has no such role, or lists nothing for it that this issuer's tokens
        can say; an issuer of ours may say what the policy does not know.
        """
        if issuer.own:
            return role
        found = self.policy.roles.get(role)
        if found is None:
            known = ", ".join(self.policy.roles) or "none"
            raise ConfigurationError(f"the policy has no role {role!a}; its roles are: {known}")
        # With several issuers, entries without an issuer's name confer nothing.
        owners = {issuer.name} if len(self.issuers) > 1 else {issuer.name, None}
        labels = {source.label for source in issuer.profile.sources}
        for owner, name in filter(None, map(parse_role_source, found.sources)):
            if owner in owners and name.partition(":")[0] in labels:
                return name
        raise ConfigurationError(f'no role of {issuer.name} confers {role}: add from = ["..."] to it in the policy')


def _unvouched(binding: Binding, issuers: Sequence[IssuerSettings]) -> list[str]:
    """Where the binding compares what any issuer may have said whose tokens ours narrows."""
    own = {each.name for each in issuers if each.own}
    names = {*own, ""} if own and len(issuers) == 1 else own
    return [
        f"{binding}: sub_id is a subject of whichever issuer made the first token: have that issuer's sub copied into "
        "a claim of its own, COPY_CLAIMS where the token is narrowed, and compare that"
        for issuer, path in binding.paths
        if issuer in names and path[0] == "sub_id"
    ]


def _insert(tree: dict[str, object], keys: list[str], value: str) -> bool:
    node: dict[str, Any] | str | None = tree
    for key in keys[:-1]:
        node = node.setdefault(key, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict) or keys[-1] in node or not all(keys):
        return False
    node[keys[-1]] = value
    return True


class _SettingsReader(IssuerReader):
    """Reads the mapping as a whole; every method returns something usable."""

    def settings(self, *, development: bool, today: date) -> dict[str, Any]:
        several = "ISSUERS" in self.values
        if several:
            self.reject_unknown(
                _TOP_KEYS, dict.fromkeys(ISSUER_KEYS, " here: with ISSUERS, set it in each of its entries")
            )
        else:
            self.reject_unknown((*_TOP_KEYS, *ISSUER_KEYS))
        hosts = frozenset(self.texts("ALLOW_HTTP_HOSTS"))
        if hosts and not development:
            self.fault("ALLOW_HTTP_HOSTS is for development: set JWT_LP_DEV=1 there, and remove the setting elsewhere")
        explain = self.flag("EXPLAIN")
        if explain and not development:
            self.fault("EXPLAIN tells clients why they were refused: it needs JWT_LP_DEV=1")
        issuers, policy, claims = self.issuers(several=several, hosts=hosts), self.policy(), self.claims()
        self.copies(issuers, claims or {each.name: ClaimPolicy.of(each) for each in policy.audiences.values()})
        return {
            "issuers": issuers,
            "service": self.text("SERVICE") or "",
            "policy": policy,
            "rules": self.rules(),
            "bind": self.bind(issuers, several=several),
            "urlconfs": self.texts("URLCONFS"),
            "observe_until": self.observe_until(today),
            "explain": explain,
            "show_requirement": self.flag("SHOW_REQUIREMENT", default=True),
            "allow_http_hosts": hosts,
            "claims": claims,
            "lint": self.lint(),
            **self.store_settings(),
            "development": development,
        }

    def issuers(self, *, several: bool, hosts: frozenset[str]) -> tuple[IssuerSettings, ...]:
        if not several:
            found: list[IssuerSettings | None] = [self.issuer("default", several=False, hosts=hosts)]
        else:
            named = self.values["ISSUERS"]
            if not is_json_object(named) or not named:
                self.fault("ISSUERS is a mapping from a name of yours to one issuer's settings")
                return ()
            found = []
            for name, mapping in named.items():
                reader = _SettingsReader(mapping, f"{self.where}['ISSUERS'][{name!r}]")
                reader.reject_unknown(ISSUER_KEYS)
                found.append(reader.issuer(str(name).lower(), several=len(named) > 1, hosts=hosts))
                self.faults += reader.faults
        issuers = tuple(issuer for issuer in found if issuer is not None)
        for name in dict.fromkeys(each.name for each in issuers):
            if not _NAME.fullmatch(name):
                self.fault(f"ISSUERS: {name!a} is not a valid name: use letters, digits, - and _")
            if sum(each.name == name for each in issuers) > 1:
                self.fault(f"ISSUERS has two entries called {name!a}: names are case-insensitive")
        for issuer in dict.fromkeys(each.issuer for each in issuers):
            if sum(each.issuer == issuer for each in issuers) > 1:
                self.fault(f"the issuer {issuer!a} is configured twice: list every audience in one entry")
        return issuers

    def copies(self, issuers: Iterable[IssuerSettings], allowed: Mapping[str, ClaimPolicy]) -> None:
        """Note where a claim would be copied that no audience's tokens have."""
        listed = frozenset[str]().union(*(each.claims for each in allowed.values()))
        for issuer in issuers:
            where = self.where if "ISSUERS" not in self.values else f"{self.where}['ISSUERS'][{issuer.name!r}]"
            self.faults += [f"{where}: COPY_CLAIMS: {each}" for each in copy_faults(issuer.copy_claims, listed)]

    def policy(self) -> Policy:
        value = self.values.get("POLICY")
        try:
            if isinstance(value, Policy):
                return value
            if is_json_object(value):
                return Policy.from_mapping(value)
            if isinstance(value, (str, os.PathLike)):
                return Policy.load(cast("str | os.PathLike[str]", value))
        except ConfigurationError as error:
            self.faults += [f"{self.where}: POLICY: {fault}" for fault in error.faults]
            return EMPTY_POLICY
        if value is not None:
            self.fault("POLICY is the path of a least-privilege.toml")
        return EMPTY_POLICY

    def store_settings(self) -> dict[str, object]:
        """What is kept of decisions, and how old the revocation snapshot may be."""
        given_store = self.values.get("STORE")
        store = given_store if is_store(given_store) else self.text("STORE") or ""
        push = self.text("PUSH") or ""
        given = [key for key in _STORE_KEYS if key in self.values]
        if given and not store:
            self.fault(f"{', '.join(given)}: there is no STORE, so nothing is stored and nothing can be revoked")
        if push and not push.startswith(("redis://", "rediss://")):
            self.fault("PUSH is the URL of a Redis, such as redis://localhost:6379/0")
        stale = self.seconds("STALE_AFTER", STALE_AFTER, None)
        refuse = self.seconds("REFUSE_AFTER", REFUSE_AFTER, None)
        if stale > refuse:
            self.fault(
                "STALE_AFTER is longer than REFUSE_AFTER: requests would be refused before the revocations are stale"
            )
        start = self.values.get("REVOCATION_START", "closed")
        if start not in ("closed", "open"):
            self.fault(
                'REVOCATION_START is "closed", or "open" to let every request pass until the store has been reached'
            )
        return {
            "store": store,
            "push": push,
            "subjects": self.subjects(),
            "stale_after": stale,
            "refuse_after": refuse,
            "revocation_start": start,
        }

    def subjects(self) -> bytes | None:
        """How subjects stand in the store: b"" plainly, a key for keyed hashes, None not at all."""
        value = self.values.get("SUBJECTS", "plain")
        if value in ("plain", "absent"):
            return b"" if value == "plain" else None
        said = {str(key).upper(): each for key, each in value.items()} if is_json_object(value) else {}
        key = said.get("KEY")
        if set(said) == {"KEY"} and isinstance(key, str) and len(key) >= MIN_KEY_LENGTH:
            return key.encode()
        self.fault(
            f'SUBJECTS is "plain", "absent", or {{"KEY": "..."}} for keyed hashes, with {MIN_KEY_LENGTH} characters at least'
        )
        return b""

    def claims(self) -> Mapping[str, ClaimPolicy]:
        """What tokens may be, by audience; written as the policy's audiences are."""
        value = self.values.get("CLAIMS", {})
        if not is_json_object(value):
            self.fault('CLAIMS is a mapping from an audience to what its tokens may be, as {"max_lifetime": "5m"}')
            return {}
        named = {
            name: {str(key).lower(): said for key, said in each.items()} if is_json_object(each) else each
            for name, each in value.items()
        }
        try:
            found = Policy.from_mapping({"version": 1, "audiences": named}).audiences
        except ConfigurationError as error:
            self.faults += [f"{self.where}: CLAIMS: {fault.removeprefix('audiences.')}" for fault in error.faults]
            return {}
        for name in (each.name for each in found.values() if each.may_call):
            self.fault(f"CLAIMS: {name!a}: may_call belongs in the policy file, under [audiences]")
        return MappingProxyType({name: ClaimPolicy.of(each) for name, each in found.items()})

    def lint(self) -> LintOptions:
        try:
            return LintOptions.from_mapping(self.values.get("LINT", {}))
        except ConfigurationError as error:
            self.faults += [f"{self.where}: {fault}" for fault in error.faults]
            return LintOptions()

    def rules(self) -> Rules:
        external = self.values.get("EXTERNAL", {})
        rules = cast(Iterable[object], external)
        if not isinstance(external, Mapping) or not all(isinstance(rule, str) for rule in rules):
            self.fault('EXTERNAL is a mapping from a rule to a reason, such as {"admin": "session login"}')
            external = {}
        try:
            return Rules.of(cast("Mapping[str, str]", external), self.texts("PUBLIC"))
        except ConfigurationError as error:
            self.faults += [f"{self.where}: {fault}" for fault in error.faults]
            return Rules()

    def bind(self, issuers: Sequence[IssuerSettings], *, several: bool) -> Mapping[str, Binding]:
        value = self.values.get("BIND", {})
        if not is_json_object(value):
            self.fault('BIND is a mapping from a route parameter to a claim, such as {"tenant_id": ["org", "id"]}')
            return {}
        bindings: dict[str, Binding] = {}
        for parameter, path in value.items():
            try:
                *_, binding = all_of("unused", where=cast(Where, {parameter: path})).atoms()
            except ConfigurationError as error:
                self.faults += [f"{self.where}: BIND: {fault}" for fault in error.faults]
                continue
            bindings[str(parameter)] = cast(Binding, binding)
        for binding in bindings.values():
            faults = (*self.binding_faults(binding, several=several), *_unvouched(binding, issuers))
            self.faults += [f"{self.where}: BIND: {each}" for each in faults]
        return MappingProxyType(bindings)

    def binding_faults(self, binding: Binding, *, several: bool) -> list[str]:
        named = self.values.get("ISSUERS")
        names = [str(name).lower() for name in named] if several and is_json_object(named) else ["default"]
        return binding.faults(names)

    def observe_until(self, today: date) -> date | None:
        value = self.values.get("OBSERVE_UNTIL")
        if value in (None, ""):
            return None
        try:
            until = (
                value if isinstance(value, date) and not isinstance(value, datetime) else date.fromisoformat(str(value))
            )
        except ValueError:
            self.fault("OBSERVE_UNTIL is a date such as 2027-01-31")
            return None
        if until > today + timedelta(days=MAX_OBSERVE_DAYS):
            self.fault(
                f"OBSERVE_UNTIL is more than {MAX_OBSERVE_DAYS} days ahead: nothing would be enforced until then"
            )
        return until
