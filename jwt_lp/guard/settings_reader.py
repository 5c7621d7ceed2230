"""Reader of a whole settings mapping, which collects all faults."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import ConfigurationError
from jwt_lp.guard.issuer_lookup import ambiguous_issuers, introspecting_issuers
from jwt_lp.guard.issuer_reader import ISSUER_KEYS, SECRET_KEYS, IssuerReader
from jwt_lp.guard.issuer_settings import IssuerSettings, own_meaningful_claims, unvouched_faults
from jwt_lp.guard.observability_settings import ObservabilityReader
from jwt_lp.guard.routes import Rules
from jwt_lp.guard.store_settings import StoreReader
from jwt_lp.issuing.reserved_claims import copy_faults
from jwt_lp.permissions.requirements import Binding, Where, all_of
from jwt_lp.policy.file import EMPTY_POLICY, Policy

if TYPE_CHECKING:
    from jwt_lp.guard.cookies import Cookies
    from jwt_lp.issuing.claim_policy import ClaimPolicy
    from jwt_lp.lint.linter import LintOptions

MAX_OBSERVE_DAYS: Final = 90
MAX_LOCAL_USER_TTL: Final = 300
_DOTTED: Final = re.compile(r"\w+(\.\w+)*[.:]\w+")
_NAME: Final = re.compile(r"[a-z0-9_-]+")
# Every host routes such a path as it is written, and it needs no quoting in a challenge.
_RESOURCE: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*/?")

TOP_KEYS: Final = (
    "SERVICE", "POLICY", "EXTERNAL", "PUBLIC", "BIND", "URLCONFS", "OBSERVE_UNTIL", "EXPLAIN",
    "SHOW_REQUIREMENT", "RESOURCE", "ELEVATION_URL", "ALLOW_HTTP_HOSTS", "CLAIMS", "LINT", "STORE", "PUSH", "SUBJECTS", "STALE_AFTER",
    "REFUSE_AFTER", "REVOCATION_START", "AUDIT", "OPENTELEMETRY", "COOKIE", "LOCAL_USER", "LOCAL_USER_TTL", "ISSUERS",
)  # fmt: skip


class SettingsReader(IssuerReader, StoreReader, ObservabilityReader):
    """Reads a whole settings mapping and collects its faults; every method returns a usable value."""

    def settings(self, *, development: bool, today: date) -> dict[str, Any]:
        """The fields of `Settings`."""
        several = "ISSUERS" in self.values
        if several:
            here = dict.fromkeys(ISSUER_KEYS, " here: with ISSUERS, set it in each of its entries")
            self.reject_unknown(TOP_KEYS, {**SECRET_KEYS, **here})
        else:
            self.reject_unknown((*TOP_KEYS, *ISSUER_KEYS), SECRET_KEYS)
        hosts = frozenset(self.texts("ALLOW_HTTP_HOSTS"))
        if hosts and not development:
            self.fault("ALLOW_HTTP_HOSTS is for development: set JWT_LP_DEV=1 there, and remove the setting elsewhere")
        explain = self.flag("EXPLAIN", default=development)
        if explain and not development:
            self.fault("EXPLAIN tells clients why they were refused: it needs JWT_LP_DEV=1")
        issuers, policy, claims = self.issuers(several=several, hosts=hosts), self.policy(), self.claims()
        listed = frozenset(claim for limits in (claims or policy.audiences).values() for claim in limits.claims)
        self.check_copied_claims(issuers, listed)
        self.check_elevations(issuers)
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
            "resource": self.resource(hosts),
            "elevation_url": self.elevation_url(hosts, policy),
            "allow_http_hosts": hosts,
            "claims": claims,
            "lint": self.lint(),
            **self.store_settings(),
            "audit": self.audit(),
            "opentelemetry": self.opentelemetry(),
            "local_user": self.local_user(),
            "local_user_ttl": self.seconds("LOCAL_USER_TTL", 0.0, MAX_LOCAL_USER_TTL),
            "development": development,
            "cookies": self.cookies(development=development),
        }

    def issuers(self, *, several: bool, hosts: frozenset[str]) -> tuple[IssuerSettings, ...]:
        """Every issuer without faults; names and `iss` values must be unique."""
        if not several:
            only = self.issuer("default", several=False, hosts=hosts)
            return () if only is None else (only,)
        entries = self.values["ISSUERS"]
        if not is_json_object(entries) or not entries:
            self.fault("ISSUERS is a mapping from a name of yours to one issuer's settings")
            return ()
        issuers: list[IssuerSettings] = []
        for name, mapping in entries.items():
            reader = IssuerReader(mapping, f"{self.where}['ISSUERS'][{name!r}]")
            reader.reject_unknown(ISSUER_KEYS, SECRET_KEYS)
            issuer = reader.issuer(str(name).lower(), several=len(entries) > 1, hosts=hosts)
            issuers += [] if issuer is None else [issuer]
            self.faults.extend(reader.faults)
        for name, count in Counter(issuer.name for issuer in issuers).items():
            if not _NAME.fullmatch(name):
                self.fault(f"ISSUERS: {name!a} is not a valid name: use letters, digits, - and _")
            if count > 1:
                self.fault(f"ISSUERS has two entries called {name!a}: names are case-insensitive")
        for iss, count in Counter(issuer.issuer for issuer in issuers).items():
            if count > 1:
                self.fault(f"the issuer {iss!a} is configured twice: list every audience in one entry")
        faults = (*ambiguous_issuers(issuers), *introspecting_issuers(issuers))
        self.faults.extend(f"{self.where}: {fault}" for fault in faults)
        return tuple(issuers)

    def check_copied_claims(self, issuers: Iterable[IssuerSettings], listed: frozenset[str]) -> None:
        """Note each claim that would be copied although no audience lists it, and each that confers grants."""
        for issuer in issuers:
            where = self.where if "ISSUERS" not in self.values else f"{self.where}['ISSUERS'][{issuer.name!r}]"
            self.faults.extend(f"{where}: COPY_CLAIMS: {fault}" for fault in copy_faults(issuer.copy_claims, listed))
            # INVARIANT: a claim that `narrow` copies as it is confers nothing, so it cannot undo the downscoping.
            self.faults.extend(
                f"{where}: PROFILE: the grants, the subject or the client of this OWN issuer's tokens are read from "
                f"{name!a}, and an audience lists that claim, so it would be kept when a token is narrowed: remove it "
                "from one of the two"
                for name in sorted(own_meaningful_claims(issuer, listed))
            )

    def check_elevations(self, issuers: Iterable[IssuerSettings]) -> None:
        """Note each issuer whose subjects may hold something by elevation, where no store could tell what."""
        for issuer in issuers:
            if issuer.elevation and not self.values.get("STORE"):
                where = self.where if "ISSUERS" not in self.values else f"{self.where}['ISSUERS'][{issuer.name!r}]"
                self.faults.append(f"{where}: ELEVATION needs STORE, from which approved elevations come")

    def policy(self) -> Policy:
        """The policy itself, or read from a mapping or a file."""
        value = self.values.get("POLICY")
        try:
            if isinstance(value, Policy):
                return value
            if is_json_object(value):
                return Policy.from_mapping(value)
            if isinstance(value, (str, os.PathLike)):
                return Policy.load(cast("str | os.PathLike[str]", value))
        except ConfigurationError as error:
            self.faults.extend(f"{self.where}: POLICY: {fault}" for fault in error.faults)
            return EMPTY_POLICY
        if value is not None:
            self.fault("POLICY is the path of a least-privilege.toml")
        return EMPTY_POLICY

    def resource(self, hosts: frozenset[str]) -> str:
        """The address of this service (RFC 9728, section 1.2); "" if there is none."""
        url = self.text("RESOURCE")
        if url is None:
            return ""
        fault = _address_fault(url, hosts)
        if fault is not None:
            self.fault(f"RESOURCE {fault}")
        return url

    def elevation_url(self, hosts: frozenset[str], policy: Policy) -> str:
        """Where elevations are asked for: an address, or a path of this service; "" if refusals do not say."""
        url = self.text("ELEVATION_URL")
        if url is None:
            return ""
        # A path alone is resolved by the client against the address that it has called (RFC 3986, section 4.2).
        fault = _address_fault(f"https://here{url}" if url[:1] == "/" else url, hosts)
        if fault is not None:
            self.fault(f"ELEVATION_URL {fault}")
        if not policy.elevation:
            self.fault("ELEVATION_URL has no effect: the policy has no [elevation] table that says who may ask")
        return url

    def local_user(self) -> object:
        """The function that finds a token's local user, or its dotted path; None if there is none."""
        value = self.values.get("LOCAL_USER")
        if value in (None, "") or callable(value) or (isinstance(value, str) and _DOTTED.fullmatch(value)):
            return value or None
        self.fault('LOCAL_USER is a function of the token, or its dotted path, such as "shop.users.user_for"')
        return None

    def claims(self) -> Mapping[str, ClaimPolicy]:
        """The claim policies by audience, written like the audiences of the policy file."""
        if "CLAIMS" not in self.values:
            return {}
        value = self.values["CLAIMS"]
        if not is_json_object(value):
            self.fault('CLAIMS is a mapping from an audience to what its tokens may be, as {"max_lifetime": "5m"}')
            return {}
        lower_case = {
            name: {str(key).lower(): member for key, member in members.items()} if is_json_object(members) else members
            for name, members in value.items()
        }
        try:
            audiences = Policy.from_mapping({"version": 1, "audiences": lower_case}).audiences
        except ConfigurationError as error:
            self.faults.extend(f"{self.where}: CLAIMS: {fault.removeprefix('audiences.')}" for fault in error.faults)
            return {}
        for audience in audiences.values():
            if audience.may_call:
                self.fault(f"CLAIMS: {audience.name!a}: may_call belongs in the policy file, under [audiences]")
        from jwt_lp.issuing.claim_policy import ClaimPolicy

        return MappingProxyType({name: ClaimPolicy.of(audience) for name, audience in audiences.items()})

    def lint(self) -> LintOptions | None:
        """The options of the linter; None if the settings have none."""
        if "LINT" not in self.values:
            return None
        # A guard never lints: only settings with this key load the linter.
        from jwt_lp.lint.linter import LintOptions

        try:
            return LintOptions.from_mapping(self.values["LINT"])
        except ConfigurationError as error:
            self.faults.extend(f"{self.where}: {fault}" for fault in error.faults)
            return None

    def cookies(self, *, development: bool) -> Cookies | None:
        """The cookies that may carry tokens; None if there are none."""
        value = self.word("COOKIE")
        if value is None or value is False:
            return None
        # Most services read no cookie: only settings with this key load what does.
        from jwt_lp.guard.cookie_settings import CookieSettingsReader
        from jwt_lp.guard.cookies import Cookies

        if isinstance(value, Cookies):
            return value
        reader = CookieSettingsReader({} if value is True else value, f"{self.where}['COOKIE']")
        cookies = reader.cookies(development=development)
        self.faults.extend(reader.faults)
        return cookies

    def rules(self) -> Rules:
        """The `EXTERNAL` and `PUBLIC` rules."""
        external = self.values.get("EXTERNAL", {})
        rules = cast(Iterable[object], external)
        if not isinstance(external, Mapping) or not all(isinstance(rule, str) for rule in rules):
            self.fault('EXTERNAL is a mapping from a rule to a reason, such as {"admin": "session login"}')
            external = {}
        try:
            return Rules.of(cast("Mapping[str, str]", external), self.texts("PUBLIC"))
        except ConfigurationError as error:
            self.faults.extend(f"{self.where}: {fault}" for fault in error.faults)
            return Rules()

    def bind(self, issuers: Sequence[IssuerSettings], *, several: bool) -> Mapping[str, Binding]:
        """The bindings by route parameter."""
        value = self.values.get("BIND", {})
        if not is_json_object(value):
            self.fault('BIND is a mapping from a route parameter to a claim, such as {"tenant_id": ["org", "id"]}')
            return {}
        bindings: dict[str, Binding] = {}
        for parameter, path in value.items():
            try:
                *_, binding = all_of("unused", where=cast(Where, {parameter: path})).atoms()
            except ConfigurationError as error:
                self.faults.extend(f"{self.where}: BIND: {fault}" for fault in error.faults)
                continue
            bindings[str(parameter)] = cast(Binding, binding)
        for binding in bindings.values():
            faults = (*self.binding_faults(binding, several=several), *unvouched_faults(binding, issuers))
            self.faults.extend(f"{self.where}: BIND: {fault}" for fault in faults)
        return MappingProxyType(bindings)

    def binding_faults(self, binding: Binding, *, several: bool) -> list[str]:
        """The faults of a binding, held against the names of all issuers, also of those that have faults."""
        entries = self.values.get("ISSUERS")
        names = [str(name).lower() for name in entries] if several and is_json_object(entries) else ["default"]
        return binding.faults(names)

    def observe_until(self, today: date) -> date | None:
        """The last day of observe mode, at most `MAX_OBSERVE_DAYS` ahead; None if requirements are enforced."""
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


def _address_fault(url: str, hosts: frozenset[str]) -> str | None:
    from jwt_lp.jose.http_fetch import check_url

    fault = check_url(url, hosts)
    if fault is None and not _RESOURCE.fullmatch(url):
        fault = "is an address without a query, whose path has only letters, digits and . _ ~ - between single slashes"
    return fault
