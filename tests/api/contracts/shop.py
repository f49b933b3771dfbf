"""A small API of a host, in three versions: what contracts, golden files and notes are tried with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from mallcore.api.versions import Change, Release, Versions, field
from mallcore.api.versions import operation as call
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Catalogue, Operation, Rest, operation

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Price(BaseModel):
    """What something costs."""

    amount: str
    currency: str = "EUR"


class Line(BaseModel):
    """One line of an order."""

    product: str
    price: Price
    gift: bool = False


class Order(BaseModel):
    """An order."""

    id: str
    state: Literal["open", "paid"]
    lines: list[Line] = []


@operation(permission=None, kind="command", rest=Rest("POST", "/orders", 201), name="shop.place_order")
def place_order(ctx: Context, *, customer: str, lines: list[Line], note: str = "") -> Order:
    """Place an order."""
    return Order(id="ord_1", state="open", lines=lines)


@operation(permission="shop.read", rest=Rest("GET", "/orders/{order}"), name="shop.get_order")
def get_order(ctx: Context, *, order: str) -> Order:
    """One order."""
    return Order(id=order, state="open")


@operation(permission="shop.read", rest=Rest("GET", "/prices"), name="shop.prices")
def prices(ctx: Context) -> dict[str, Price]:
    """What everything costs."""
    return {}


class ProductsHaveNoSku(Change):
    """What an order line names is the `product`.

    It was called `sku`, which it never was: <b>shops</b> & customers were misled.
    """

    version = "2026-05-01"
    touches = Line
    was = (field("product").was_named("sku"),)
    examples = ({"sku": "book", "price": {"amount": "9.50", "currency": "EUR"}, "gift": False},)


class CustomersAreNamed(Change):
    """Who orders is the `customer`."""

    version = "2026-05-01"
    touches = place_order
    was = (
        field("customer").was_named("buyer"),
        call("shop.place_order").was_at("POST", "/purchases"),
    )
    examples = ({"buyer": "ada", "lines": [{"sku": "book", "price": {"amount": "9.50"}}]},)


class PricesKnowTheirCurrency(Change):
    """A price says in which currency it is."""

    version = "2026-03-01"
    touches = Price
    was = (field("currency").did_not_exist(default="EUR"),)
    examples = ({"amount": "9.50"},)


class PricesAreListed(Change):
    """All prices can be read at once."""

    version = "2026-03-01"
    was = (call("shop.prices").did_not_exist(),)


CHANGES = (PricesKnowTheirCurrency, PricesAreListed, ProductsHaveNoSku, CustomersAreNamed)
RELEASES = (
    Release("2026-01-01", stable=datetime(2026, 1, 1, tzinfo=UTC)),
    Release("2026-03-01", stable=datetime(2026, 3, 1, tzinfo=UTC)),
    Release("2026-05-01", stable=datetime(2026, 5, 1, tzinfo=UTC)),
)
VERSIONS = Versions(RELEASES, CHANGES)


def catalogue(*functions: object) -> Catalogue:
    """The shop's operations, or others."""
    chosen = functions or (place_order, get_order, prices)
    return Catalogue(one if isinstance(one, Operation) else one.operation for one in chosen)  # type: ignore[attr-defined]
