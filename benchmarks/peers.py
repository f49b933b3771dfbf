"""Whom we compare with: the same tree in tables a host would write by hand with SQLAlchemy, without any history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Engine, Index, MetaData, String, Table, delete, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from mallcore import structure


class Base(DeclarativeBase):
    pass


class Category(Base):
    """The plain adjacency list: one row a node, a parent pointer, no history."""

    __tablename__ = "plain_category"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    parent_id: Mapped[str | None] = mapped_column(String(40), index=True)
    position: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(10))
    slug: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(200))
    external_id: Mapped[str | None] = mapped_column(String(200))


# A table of the same columns, key and indexes as ours, for a bare bulk insert of the same rows.
same_columns = Table(
    "plain_node",
    MetaData(),
    Column("channel_id", String(40), primary_key=True),
    Column("node_id", String(40), primary_key=True),
    Column("from_revision", BigInteger, primary_key=True),
    Column("to_revision", BigInteger, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("parent_id", String(40)),
    Column("position", BigInteger, nullable=False),
    Column("slug", String(100), nullable=False),
    Column("name", String(200), nullable=False),
    Column("external_id", String(200)),
    Column("translations", String),
    Column("attributes", String),
    Column("rules", String),
    Index("ix_plain_node_channel_id_to_revision", "channel_id", "to_revision"),
    Index("ix_plain_node_channel_id_from_revision", "channel_id", "from_revision"),
)

Rows = list[dict[str, Any]]


def prepare(engine: Engine) -> None:
    """Make the tables."""
    Base.metadata.create_all(engine)
    same_columns.metadata.create_all(engine)


def category_rows(view: structure.TreeView) -> Rows:
    """The nodes of a tree as rows of the adjacency list."""
    fields = ("id", "parent_id", "position", "kind", "slug", "name", "external_id")
    nodes = (node for _, node in view.tree.walk())
    return [{field: getattr(node, field) for field in fields} for node in nodes]


def full_rows(categories: Rows, channel_id: str, revision: int = 1) -> Rows:
    """The same as rows of the table with our columns."""
    key = {"channel_id": channel_id, "from_revision": revision, "to_revision": 2**63 - 1}
    blank = dict.fromkeys(("translations", "attributes", "rules"))
    return [{**key, "node_id": row["id"], **{k: v for k, v in row.items() if k != "id"}, **blank} for row in categories]


def fill(engine: Engine, rows: Rows) -> None:
    """Core's bulk insert into the adjacency list, committed."""
    with engine.begin() as connection:
        connection.execute(insert(Category), rows)


def fill_same_columns(engine: Engine, rows: Rows) -> None:
    """Core's bulk insert into the table of our columns, committed."""
    with engine.begin() as connection:
        connection.execute(insert(same_columns), rows)


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(delete(Category))


def rename(engine: Engine, node_id: str, name: str) -> None:
    """What a host writes: load the object, set the name, commit."""
    with Session(engine) as session:
        category = session.get_one(Category, node_id)
        category.name = name
        session.commit()


def move(engine: Engine, node_id: str, parent_id: str) -> None:
    with Session(engine) as session:
        category = session.get_one(Category, node_id)
        category.parent_id = parent_id
        session.commit()


def whole_tree(engine: Engine) -> bytes:
    """All objects, nested by hand, as JSON."""
    with Session(engine) as session:
        return nested(session.scalars(select(Category).order_by(Category.position)).all())


def nested(categories: Sequence[Any]) -> bytes:
    """Objects with ``id`` and ``parent_id`` as nested JSON."""
    families: dict[str | None, list[Any]] = {}
    for one in categories:
        families.setdefault(one.parent_id, []).append(one)

    def shape(one: Any) -> dict[str, Any]:
        return {
            "id": one.id,
            "kind": one.kind,
            "slug": one.slug,
            "name": one.name,
            "external_id": one.external_id,
            "children": [shape(child) for child in families.get(one.id, ())],
        }

    roots = [shape(one) for one in families.get(None, ())]
    return json.dumps(roots, ensure_ascii=False, separators=(",", ":")).encode()
