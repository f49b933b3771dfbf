"""SQLAlchemy-Continuum as a peer, in a process of its own: it listens to every session of the process it is loaded in.

The parent asks over a pipe, so its calls take their turns with ours; each answer is the time measured over here.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from sqlalchemy import BigInteger, String, create_engine, event, or_, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, configure_mappers, mapped_column

from benchmarks.peers import Rows, nested


def available() -> bool:
    """Whether it is installed."""
    return find_spec("sqlalchemy_continuum") is not None


class Continuum:
    """The other process; every method returns the seconds its work took."""

    def __init__(self, url: str, rows: Rows) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, url), daemon=True)
        self._process.start()
        theirs.close()
        self.loaded = self._ask("load", rows)

    def _ask(self, what: str, *arguments: Any) -> float:
        self._pipe.send((what, arguments))
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return float(answer)

    def rename(self, node_id: str, name: str) -> float:
        return self._ask("rename", node_id, name)

    def move(self, node_id: str, parent_id: str) -> float:
        return self._ask("move", node_id, parent_id)

    def tree_as_of(self, transaction: int) -> float:
        return self._ask("tree_as_of", transaction)

    def close(self) -> None:
        self._pipe.close()
        self._process.join(timeout=10)


def _serve(pipe: Connection, url: str) -> None:
    calls = _calls(url)
    while True:
        try:
            what, arguments = pipe.recv()
        except EOFError:
            return
        try:
            gc.collect()
            begin = perf_counter()
            calls[what](*arguments)
            pipe.send(perf_counter() - begin)
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")


def _calls(url: str) -> dict[str, Callable[..., Any]]:
    from sqlalchemy_continuum import make_versioned, version_class

    make_versioned(user_cls=None)

    class Base(DeclarativeBase):
        pass

    class Category(Base):
        __tablename__ = "continuum_category"
        __versioned__: dict[str, Any] = {}  # noqa: RUF012 - their way of declaring it

        id: Mapped[str] = mapped_column(String(40), primary_key=True)
        parent_id: Mapped[str | None] = mapped_column(String(40), index=True)
        position: Mapped[int] = mapped_column(BigInteger)
        kind: Mapped[str] = mapped_column(String(10))
        slug: Mapped[str] = mapped_column(String(100))
        name: Mapped[str] = mapped_column(String(200))
        external_id: Mapped[str | None] = mapped_column(String(200))

    configure_mappers()
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _as_ours)
    Base.metadata.create_all(engine)
    versions: Any = version_class(Category)

    def load(rows: Rows) -> None:
        with Session(engine) as session:
            session.add_all([Category(**row) for row in rows])
            session.commit()

    def rename(node_id: str, name: str) -> None:
        with Session(engine) as session:
            session.get_one(Category, node_id).name = name
            session.commit()

    def move(node_id: str, parent_id: str) -> None:
        with Session(engine) as session:
            session.get_one(Category, node_id).parent_id = parent_id
            session.commit()

    def tree_as_of(transaction: int) -> None:
        ended = versions.end_transaction_id
        there = (versions.transaction_id <= transaction, or_(ended.is_(None), ended > transaction))
        then = select(versions).where(*there, versions.operation_type != 2)
        with Session(engine) as session:
            nested(session.scalars(then.order_by(versions.position)).all())

    return {"load": load, "rename": rename, "move": move, "tree_as_of": tree_as_of}


def _as_ours(connection: Any, _: Any) -> None:
    """The settings our own SQLite connections have, so that commits cost the same."""
    for pragma in ("synchronous=NORMAL", "cache_size=-16000", "journal_mode=WAL"):
        connection.execute(f"PRAGMA {pragma}")


__all__ = ["Continuum", "available"]
