"""The stock, on Flask, which the shop calls.

`python examples/on_behalf_of/stock.py PORT` serves it on loopback.
"""

from __future__ import annotations

import sys

from flask import Flask

from jwt_lp import Settings
from jwt_lp_flask import LeastPrivilege, current_token, requires

app = Flask(__name__, static_folder=None)


@app.get("/items/<item>")
@requires("stock:{item}:read")
def count(item: str) -> dict[str, object]:
    lineage = current_token.lineage
    return {
        "count": 7,
        "for": current_token.subject,
        "by": lineage.actors if lineage else (),
        "token_holds": [grant.text for grant in current_token.permissions],
    }


@app.delete("/items/<item>")
@requires("stock:{item}:take")
def take(item: str) -> dict[str, object]:
    return {"taken": item}


LeastPrivilege(app, Settings.from_env())

if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
