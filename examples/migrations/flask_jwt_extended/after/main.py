"""An orders API on Flask, whose tokens are its own. `python main.py PORT` serves it."""

import json
import os
import sys

from flask import Flask, request
from flask_jwt_extended import (
    JWTManager,
    create_refresh_token,
    get_jwt_identity,
    jwt_required,
)
from base64 import urlsafe_b64encode
from jwt_lp import Issuer, SigningKey
from jwt_lp_flask import LeastPrivilege, authenticated, current_token, external, public, requires

USERS = {"alice": "wonderland", "bob": "builder"}
PERMISSIONS = {"alice": ["orders:list", "orders:create"], "bob": ["orders:list"]}
SIGNING_KEY = SigningKey.from_jwk(json.loads(os.environ["SIGNING_KEY"]))
issuer = Issuer("https://shop.example.com", SIGNING_KEY, audience="orders-api", client="shop")

app = Flask(__name__, static_folder=None)
app.config["JWT_SECRET_KEY"] = os.environ["SECRET_KEY"]
jwt = JWTManager(app)
app.config["JWT_LP"] = {
    "ISSUERS": {
        # our own tokens, from now on
        "shop": {
            "ISSUER": "https://shop.example.com",
            "AUDIENCE": "orders-api",
            "ALGORITHMS": ["ES256"],
            "JWKS": {"keys": [SIGNING_KEY.public_jwk()]},
            "OWN": True,
            "CEILING": ["orders:**"],
        },
        # access tokens from before, until the last one has expired: each may do what all could
        "before": {
            "ISSUER": app.config["JWT_ENCODE_ISSUER"] or "flask-jwt-extended",
            "AUDIENCE": app.config["JWT_ENCODE_AUDIENCE"] or "flask-jwt-extended",
            "ALGORITHMS": [app.config["JWT_ALGORITHM"]],
            "JWKS": {
                "kty": "oct",
                "alg": app.config["JWT_ALGORITHM"],
                "k": urlsafe_b64encode(app.config["JWT_SECRET_KEY"].encode()).rstrip(b"=").decode(),
            },
            "PROFILE": {"BASE": "flask-jwt-extended", "ROLES": ["type"]},
            "ABSENT_CLAIMS": ["iss", "aud"],
            "CEILING": ["orders:**"],
        },
    },
    "POLICY": {"version": 1, "roles": {"before": {"grants": ["orders:**"], "from": ["before/type:access"]}}},
    # counts who uses which grant of which issuer
    "STORE": os.environ["STORE"],
}
LeastPrivilege(app)


def access_token(username):
    return issuer.issue(username, permissions=PERMISSIONS[username], lifetime=900)


@app.post("/token")
@public
def login():
    username = request.form["username"]
    if USERS.get(username, "") != request.form["password"]:
        return {"message": "wrong name or password"}, 401
    return {
        "access_token": access_token(username),
        "refresh_token": create_refresh_token(username),
    }


@app.post("/token/refresh")
@external("a refresh token, which jwt_required checks")
@jwt_required(refresh=True)
def refresh():
    return {"access_token": access_token(get_jwt_identity())}


@app.get("/health")
@public
def health():
    return {"ok": True}


@app.get("/me")
@authenticated
def me():
    return {"me": current_token.subject, "token": current_token.claims["jti"]}


@app.get("/orders")
@requires("orders:list")
def orders():
    return {"orders": [7, 8], "for": current_token.subject}


@app.post("/orders")
@requires("orders:create")
def create():
    return {"created": True}, 201


@app.get("/greeting")
@public(identify=True)
def greeting():
    return {"hello": (current_token.subject if current_token else None)}


@app.get("/export")
def export():
    # Nobody thought of the decorator here, so everybody may call it.
    return {"orders": [7, 8]}


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
