"""The orders API on Flask. `python examples/flask_orders.py PORT` serves it on loopback."""

from __future__ import annotations

import sys

from flask import Flask

from jwt_lp import Settings
from jwt_lp_flask import LeastPrivilege, current_token, elevation_endpoints, public, requires

ORDERS = {7: "seven roses", 8: "eight tulips"}

app = Flask(__name__, static_folder=None)


@app.get("/health")
@public
def health() -> dict[str, object]:
    return {"ok": True}


@app.get("/orders")
@requires("orders:list")
def orders() -> dict[str, object]:
    return {"orders": ORDERS, "seen_by": current_token.subject}


@app.post("/orders")
@requires("orders:create")
def create() -> tuple[dict[str, object], int]:
    return {"created": True}, 201


@app.get("/orders/<int:order_id>")
@requires("orders:{order_id}:read")
def order(order_id: int) -> dict[str, object]:
    return {"order": ORDERS.get(order_id)}


@app.get("/report")
def report() -> dict[str, object]:
    return {"secret": "this route declares no requirement, so nobody can see this"}


app.register_blueprint(elevation_endpoints())
LeastPrivilege(app, settings=Settings.from_env())

if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
