"""Issuing, exchange and renewal of tokens do not sign revoked permissions."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from jwt_lp import ClientSecrets, Guard, PolicyError, SigningKey, TokenExchange, all_of
from jwt_lp.oauth.exchange_request import ACCESS_TOKEN, TOKEN_EXCHANGE
from jwt_lp.revocation.entries import RevocationEntry

if TYPE_CHECKING:
    from jwt_lp.stores import Store

ISSUER = "https://issuer.test"
SECRET = "a secret that nobody guesses: 1"
POLICY = {
    "version": 1,
    "permissions": {"stock:read": {}, "stock:take": {}, "stock:{item}:count": {}},
    "roles": {"keeper": {"grants": ["stock:**"]}},
    "audiences": {"shop": {"may_call": ["stock"], "wildcards": True}, "stock": {"wildcards": True}},
    "clients": {"shop": {"grants": ["stock:**"]}},
}


def settings(key: SigningKey, audience: str, **more: object) -> dict[str, object]:
    keys = {"ALGORITHMS": ["ES256"], "JWKS": {"keys": [key.public_jwk()]}}
    return {"ISSUER": ISSUER, "AUDIENCE": audience, "OWN": True, "POLICY": POLICY, **keys, **more}


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"of": "subject", "name": "alice", "pattern": "stock:take"}, id="the subject"),
        pytest.param({"of": "client", "name": "web", "pattern": "stock:take"}, id="the client of the token"),
        pytest.param({"of": "client", "name": "shop", "pattern": "stock:take"}, id="the client that exchanges it"),
        pytest.param({"of": "role", "name": "keeper", "pattern": "stock:take"}, id="the role"),
        pytest.param(
            {"of": "subject", "name": "alice", "pattern": "**", "keep": ("stock:read", "stock:*:count")},
            id="all with exceptions",
        ),
    ],
)
def test_revoked_permissions_are_not_signed(url: str, store: Store, entry: dict[str, object]) -> None:
    """Neither an exchange nor a renewal signs them, so a service without a store gets no token that holds them."""
    key = SigningKey.generate(kid="k")
    with Guard(settings(key, "shop", STORE=url)) as guard, Guard(settings(key, "stock")) as behind:
        runtime = guard._runtime
        assert runtime is not None
        issuer = guard.issuer(key, client="web")
        exchange = TokenExchange(issuer, ClientSecrets({"shop": SECRET}))
        token = issuer.issue("alice", roles=["keeper"])

        def ask(scope: str) -> tuple[int, dict[str, str]]:
            form = {
                "grant_type": TOKEN_EXCHANGE,
                "subject_token": token,
                "subject_token_type": ACCESS_TOKEN,
                "audience": "stock",
                "scope": scope,
            }
            credentials = "Basic " + base64.b64encode(f"shop:{SECRET}".encode()).decode()
            answer = exchange.post("application/x-www-form-urlencoded", urlencode(form).encode(), [credentials])
            return answer.status, json.loads(answer.body)

        def passes(token: str, permission: str) -> bool:
            return behind.check(f"Bearer {token}", all_of(permission), {}, "GET /").passes

        assert passes(ask("stock:take")[1]["access_token"], "stock:take")
        store.revoke([RevocationEntry(id="e", issuer=ISSUER, **entry)], at=time.time())  # type: ignore[arg-type]
        runtime.revocations.poll()
        for scope in ("stock:take", "stock:*", "stock:**", "stock:read stock:take"):
            assert (400, "invalid_scope") == (ask(scope)[0], ask(scope)[1]["error"])
        for scope, permission in (("stock:read", "stock:read"), ("stock:*:count", "stock:7:count")):
            exchanged = ask(scope)[1]["access_token"]
            assert [True, False] == [passes(exchanged, permission), passes(exchanged, "stock:take")]
        if entry["name"] != "shop":
            renewed = issuer.renew(token, roles=["keeper"])
            with pytest.raises(PolicyError, match="does not hold stock:take"):
                guard.issuer(key, revoked=lambda _: False).narrow(renewed, ["stock:take"], audience="stock")
            assert guard.verifier.verify(renewed).permissions.grants_containing("stock:read")
