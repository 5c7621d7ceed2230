"""What the measured applications answer, the same in every host."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any, Final

PATH: Final = "/orders"
PERMISSION: Final = "orders:3:read"

_CUSTOMERS: Final = 50
_ORDERS: Final = 20


def small() -> dict[str, Any]:
    """Next to nothing, where the cost of the guard itself is measured."""
    return {"orders": 3}


class OrderBook(threading.local):
    """A small table of orders, so that a handler has as much to do as an ordinary one. Each thread has its own.

    A page is three queries by index and the JSON of twenty orders. Nothing waits for a network.
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")
        self._connection.executescript(
            "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);"
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, amount INTEGER, total REAL);"
            "CREATE INDEX by_customer ON orders (customer);"
        )
        customers = range(_CUSTOMERS)
        self._connection.executemany(
            "INSERT INTO customer VALUES (?, ?)", [(each, f"name-{each}") for each in customers]
        )
        self._connection.executemany(
            "INSERT INTO orders (customer, item, amount, total) VALUES (?, ?, ?, ?)",
            [(each, f"item-{number}", number, number * 9.95) for each in customers for number in range(_ORDERS)],
        )
        self._calls = 0

    def page(self) -> dict[str, Any]:
        """One customer's name, their orders, and the sum of them."""
        self._calls += 1
        customer = (self._calls % _CUSTOMERS,)
        ask = self._connection.execute
        (name,) = ask("SELECT name FROM customer WHERE id = ?", customer).fetchone()
        rows = ask("SELECT id, item, amount, total FROM orders WHERE customer = ? ORDER BY id", customer).fetchall()
        (total,) = ask("SELECT sum(total) FROM orders WHERE customer = ?", customer).fetchone()
        orders = [dict(zip(("id", "item", "amount", "total"), row, strict=True)) for row in rows]
        return {"customer": name, "total": round(total, 2), "orders": orders}
