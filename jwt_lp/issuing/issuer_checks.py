"""Checks of the arguments of an issuer and of its methods."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jwt_lp.errors import ConfigurationError, PolicyError
from jwt_lp.issuing.reserved_claims import copy_faults
from jwt_lp.jose.signing import SigningKey
from jwt_lp.policy.file import Policy

if TYPE_CHECKING:
    from jwt_lp.issuing.claim_policy import ClaimPolicy
    from jwt_lp.tokens.trusted_issuer import TrustedIssuer


def check_names(issuer: object, trusts: Sequence[TrustedIssuer], client: object) -> None:
    """Refuse unusable or ambiguous names of the issuer, its client and the trusted issuers."""
    if not is_text(issuer):
        raise ConfigurationError("an issuer needs an identifier: the iss of its tokens, usually its https address")
    if any(trusted.issuer == issuer for trusted in trusts):
        raise ConfigurationError(f"the issuer {issuer!a} is this one: remove it from trusts")
    if any(trusted.own for trusted in trusts):
        # Its names and claims would be taken for our own.
        raise ConfigurationError("an issuer among trusts is marked own: only this issuer can be")
    names = [trusted.name.lower() for trusted in trusts]
    if len({*names}) < len(names) or len({trusted.issuer for trusted in trusts}) < len(trusts):
        raise ConfigurationError("two issuers among trusts have the same name or iss: give each a name of its own")
    if any(not name or ":" in name for name in names):
        raise ConfigurationError(
            "the name of an issuer among trusts is empty or has a `:`: its subjects become NAME:SUBJECT, so rename it"
        )
    if is_foreign(client, trusts):
        raise ConfigurationError(
            "the client begins with the name of another issuer, as only that issuer's clients may: give it another name"
        )


def check_types(keys: object, policy: object) -> None:
    """Refuse other types, such as a path, and say what to write instead."""
    faults: list[str] = []
    if not callable(getattr(keys, "jwks", None)) and not isinstance(keys, SigningKey):
        faults.append(f"keys is a SigningKey or a KeyRing: write KeyRing({_path(keys, 'signing-keys')})")
    if not isinstance(policy, Policy):
        faults.append(f"policy is a Policy: write Policy.load({_path(policy, 'least-privilege.toml')})")
    if faults:
        raise ConfigurationError(*faults)


def _path(value: object, default: str) -> str:
    return json.dumps(str(value) if isinstance(value, (str, Path)) else default)


def is_foreign(name: object, trusts: Iterable[TrustedIssuer]) -> bool:
    """Return whether a name has the form of another issuer's subjects and clients here, in any case."""
    return any(str(name).lower().startswith(f"{trusted.name.lower()}:") for trusted in trusts)


def check_copies(trusts: Iterable[TrustedIssuer], claim_policies: Iterable[ClaimPolicy]) -> None:
    """Refuse a `copy_claims` that would copy into a claim that no audience lists or that is reserved."""
    listed = frozenset[str]().union(*(claim_policy.claims for claim_policy in claim_policies))
    faults = [
        f"copy_claims of {trusted.name}: {fault}"
        for trusted in trusts
        for fault in copy_faults(trusted.copy_claims, listed)
    ]
    if faults:
        raise ConfigurationError(*faults)


def is_text(value: object) -> bool:
    """Return whether `value` is a non-empty string of printable characters."""
    return isinstance(value, str) and value != "" and value.isprintable()


def require_text(kind: str, value: str | None) -> str:
    """Return the value; raise `PolicyError` if there is none, or if it is no name."""
    reason = "target" if kind == "audience" else "policy"
    if value is None:
        raise PolicyError(f"the token has no {kind}: pass {kind}=, or configure it on the issuer", reason=reason)
    if not is_text(value):
        raise PolicyError(f"the {kind} is not a non-empty string of printable characters", reason=reason)
    return value


def check_until(until: object, now: float) -> float:
    """Return the time until which a token may live at most; infinity if there is no such limit."""
    if until is None:
        return math.inf
    if isinstance(until, bool) or not isinstance(until, int | float) or not math.isfinite(until):
        raise PolicyError("until is a number of seconds since the epoch", reason="lifetime")
    if int(until) <= int(now):
        raise PolicyError("until is over already: give a time at which the task may still run", reason="lifetime")
    return until


def read_texts(parameter: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return the permissions or roles that were passed, each once; raise `PolicyError` for other types."""
    if isinstance(values, str):
        raise PolicyError(f'{parameter} is a list: write {parameter}=["{values}"]', reason="scope")
    texts = tuple(dict.fromkeys(values))
    if set(map(type, texts)) - {str}:
        raise PolicyError(f"{parameter} is a list of strings", reason="scope")
    return texts
