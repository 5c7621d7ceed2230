"""What the measured applications answer, the same in every host."""

from __future__ import annotations

import threading
from typing import Any, Final

from sqlalchemy import ForeignKey, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

PATH: Final = "/orders"
PERMISSION: Final = "orders:3:read"

_CUSTOMERS: Final = 50
_ORDERS: Final = 20


def small() -> dict[str, Any]:
    """Next to nothing, where the cost of the guard itself is measured."""
    return {"orders": 3}


class _Base(DeclarativeBase):
    pass


class Customer(_Base):
    """A customer."""

    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Order(_Base):
    """An order of a customer."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    item: Mapped[str]
    amount: Mapped[int]
    total: Mapped[float]


class OrderBook(threading.local):
    """A small database of orders, so that a handler has as much to do as an ordinary one. Each thread has its own.

    A page is three queries by index with the ORM of SQLAlchemy, in a new session. Nothing waits for a network.
    """

    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        self._calls = 0
        _Base.metadata.create_all(self._engine)
        with Session(self._engine) as session:
            for customer in range(1, _CUSTOMERS + 1):
                session.add(Customer(id=customer, name=f"name-{customer}"))
                session.add_all(
                    Order(customer_id=customer, item=f"item-{number}", amount=number, total=number * 9.95)
                    for number in range(_ORDERS)
                )
            session.commit()

    def close(self) -> None:
        """Close the database of this thread."""
        self._engine.dispose()

    def page(self) -> dict[str, Any]:
        """One customer's name, their orders, and the sum of them."""
        self._calls += 1
        number = self._calls % _CUSTOMERS + 1
        with Session(self._engine) as session:
            customer = session.get_one(Customer, number)
            orders = session.scalars(select(Order).where(Order.customer_id == number).order_by(Order.id)).all()
            total = session.scalar(select(func.sum(Order.total)).where(Order.customer_id == number))
            return {
                "customer": customer.name,
                "total": total,
                "orders": [
                    {"id": order.id, "item": order.item, "amount": order.amount, "total": order.total}
                    for order in orders
                ],
            }
