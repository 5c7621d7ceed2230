"""An orders API on Flask, whose tokens are its own. `python main.py PORT` serves it."""

import os
import sys

from flask import Flask, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt,
    get_jwt_identity,
    jwt_required,
)

USERS = {"alice": "wonderland", "bob": "builder"}

app = Flask(__name__, static_folder=None)
app.config["JWT_SECRET_KEY"] = os.environ["SECRET_KEY"]
jwt = JWTManager(app)


@app.post("/token")
def login():
    username = request.form["username"]
    if USERS.get(username, "") != request.form["password"]:
        return {"message": "wrong name or password"}, 401
    return {
        "access_token": create_access_token(username),
        "refresh_token": create_refresh_token(username),
    }


@app.post("/token/refresh")
@jwt_required(refresh=True)
def refresh():
    return {"access_token": create_access_token(get_jwt_identity())}


@app.get("/health")
def health():
    return {"ok": True}


@app.get("/me")
@jwt_required()
def me():
    return {"me": get_jwt_identity(), "token": get_jwt()["jti"]}


@app.get("/orders")
@jwt_required()
def orders():
    return {"orders": [7, 8], "for": get_jwt_identity()}


@app.post("/orders")
@jwt_required()
def create():
    return {"created": True}, 201


@app.get("/greeting")
@jwt_required(optional=True)
def greeting():
    return {"hello": get_jwt_identity()}


@app.get("/export")
def export():
    # Nobody thought of the decorator here, so everybody may call it.
    return {"orders": [7, 8]}


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
