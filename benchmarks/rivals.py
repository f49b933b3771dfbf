"""Files and SAVEPOINTs: which attachment libraries for SQLAlchemy lose committed files, and which leave orphans.

The same stories for each, on SQLite and a folder:

0. a row with a file is committed: is the file there? (So that what follows is no fault of this script.)
1. a row with a file is flushed; an unrelated SAVEPOINT fails; the outer transaction commits: is the file there?
2. the file is replaced inside a SAVEPOINT that is released; the outer rolls back: is the old file there?
3. rows go by a bulk DELETE: is anything left in the store? (For mallcore: after one run of its collector, when the
   rows that went are those of its own versions.)
4. a row with a file is flushed, and all is rolled back: is anything left in the store?

Run ``python -m benchmarks.rivals``; a library that is not installed is left out, by name.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, delete, event, text
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

OLD, NEW = b"old content", b"new content"


class Rival(Protocol):
    """One library, as the stories need it."""

    name: str

    def engine(self) -> Engine:
        """The database."""
        ...

    def add(self, session: Session, content: bytes) -> Any:
        """Add a row with a file within the session's transaction, and flush; returns what names the row."""
        ...

    def replace(self, session: Session, row: Any, content: bytes) -> None:
        """Replace the file of a row, and flush."""
        ...

    def read(self, row: Any) -> bytes:
        """The file of a committed row."""
        ...

    def drop_all(self) -> None:
        """Delete all rows in bulk."""
        ...

    def left(self) -> int:
        """How many files lie in the store, when everything that tidies up has run."""
        ...


class _Rows(DeclarativeBase):
    pass


def _engine(folder: Path) -> Engine:
    """SQLite with SAVEPOINTs that work: the driver's own transactions break them."""
    engine = create_engine(f"sqlite:///{folder / 'host.db'}")

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


class _Mapped:
    """What the two libraries share that have a column type for files."""

    name = ""

    def __init__(self, folder: Path, model: Any) -> None:
        self._folder, self._model = folder, model
        self._engine = _engine(folder)
        model.metadata.create_all(self._engine, tables=[model.__table__])

    def engine(self) -> Engine:
        """The database."""
        return self._engine

    def add(self, session: Session, content: bytes) -> Any:
        """A row with a file."""
        row = self._model(content=io.BytesIO(content))
        session.add(row)
        session.flush()
        return row.id

    def replace(self, session: Session, row: Any, content: bytes) -> None:
        """Another file for the row."""
        session.get_one(self._model, row).content = io.BytesIO(content)
        session.flush()

    def read(self, row: Any) -> bytes:
        """The file of the row."""
        with Session(self._engine) as session:
            file = session.get_one(self._model, row).content.file
            try:
                found: bytes = file.read()
            finally:
                file.close()
            return found

    def drop_all(self) -> None:
        """All rows, in one statement."""
        with Session(self._engine) as session, session.begin():
            session.execute(delete(self._model))

    def left(self) -> int:
        """Files, without their descriptions."""
        kept = [one for one in self._folder.rglob("*") if one.is_file() and "host.db" not in one.name]
        return len([one for one in kept if one.suffix != ".json" and one.name != "metadata.json"])


def sqlalchemy_file(folder: Path) -> Rival:
    """sqlalchemy-file, on libcloud's local storage."""
    from libcloud.storage.drivers.local import LocalStorageDriver
    from sqlalchemy_file import FileField
    from sqlalchemy_file.storage import StorageManager

    (folder / "files" / "main").mkdir(parents=True)
    StorageManager._clear()
    StorageManager.add_storage("main", LocalStorageDriver(str(folder / "files")).get_container("main"))

    class SqlalchemyFileRow(_Rows):
        __tablename__ = "sqlalchemy_file_row"
        id = mapped_column(Integer, primary_key=True)
        content = mapped_column(FileField)

    rival = _Mapped(folder, SqlalchemyFileRow)
    rival.name = f"sqlalchemy-file {installed('sqlalchemy-file')}"
    return rival


def filedepot(folder: Path) -> Rival:
    """filedepot, on its local storage."""
    from depot.fields.sqlalchemy import UploadedFileField
    from depot.manager import DepotManager

    DepotManager._clear()
    DepotManager.configure("default", {"depot.storage_path": str(folder / "files")})

    class FiledepotRow(_Rows):
        __tablename__ = "filedepot_row"
        id = mapped_column(Integer, primary_key=True)
        content = mapped_column(UploadedFileField())

    rival = _Mapped(folder, FiledepotRow)
    rival.name = f"filedepot {installed('filedepot')}"
    return rival


def advanced_alchemy(folder: Path) -> Rival:
    """advanced-alchemy, with its FSSpec backend and its listener."""
    from advanced_alchemy._listeners import SyncFileObjectListener
    from advanced_alchemy.types.file_object import FileObject, storages
    from advanced_alchemy.types.file_object.backends.fsspec import FSSpecBackend
    from advanced_alchemy.types.file_object.data_type import StoredObject
    from fsspec.implementations.local import LocalFileSystem

    (folder / "files").mkdir()
    if storages.is_registered("files"):
        storages.unregister_backend("files")
    storages.register_backend(FSSpecBackend(fs=LocalFileSystem(), key="files", prefix=str(folder / "files")))

    class AdvancedRow(_Rows):
        __tablename__ = "advanced_row"
        id = mapped_column(Integer, primary_key=True)
        content = mapped_column(StoredObject(backend="files"))

    for name in ("before_flush", "after_commit", "after_rollback"):
        listener = getattr(SyncFileObjectListener, name)
        if not event.contains(Session, name, listener):
            event.listen(Session, name, listener)

    class _Advanced(_Mapped):
        number = 0

        def _file(self, content: bytes) -> Any:
            self.number += 1
            return FileObject(backend="files", filename=f"{self.number}.bin", content=content)

        def add(self, session: Session, content: bytes) -> Any:
            row = AdvancedRow(content=self._file(content))
            session.add(row)
            session.flush()
            return row.id

        def replace(self, session: Session, row: Any, content: bytes) -> None:
            session.get_one(AdvancedRow, row).content = self._file(content)
            session.flush()

        def read(self, row: Any) -> bytes:
            with Session(self._engine) as session:
                return bytes(session.get_one(AdvancedRow, row).content.get_content())

    rival = _Advanced(folder, AdvancedRow)
    rival.name = f"advanced-alchemy {installed('advanced-alchemy')}"
    return rival


class Ours:
    """mallcore: bytes are staged before the host's transaction, which claims them; then one run of the collector."""

    name = "mallcore"

    def __init__(self, folder: Path) -> None:
        from mallcore import Mall, Principal, attachments, structure

        self._attachments, self._me, self._ahead = attachments, Principal.system("host"), timedelta()
        clock = lambda: datetime.now(UTC) + self._ahead  # noqa: E731
        self.mall = Mall.open(
            f"sqlite:///{folder / 'host.db'}", objects=(folder / "files").as_uri(), clock=clock, follow=False
        )
        with self.mall.begin(self._me) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        host = Table("host_row", MetaData(), Column("id", Integer, primary_key=True))
        host.create(self.mall.engine)

    def engine(self) -> Engine:
        """The mall's own."""
        return self.mall.engine

    def add(self, session: Session, content: bytes) -> Any:
        """Staged outside of the host's transaction, attached in it."""
        return self._put(session, content, None)

    def replace(self, session: Session, row: Any, content: bytes) -> None:
        """A new version, to which the label moves."""
        self._put(session, content, row)

    def _put(self, session: Session, content: bytes, attachment: str | None) -> str:
        with self.mall.begin(self._me) as ctx:
            staged = self._attachments.stage(ctx, file=content, file_name="a.bin", owner="channel:books")
        with self.mall.begin(self._me, session=session) as ctx:
            return self._attachments.attach(ctx, staged=staged, attachment=attachment).attachment

    def read(self, row: Any) -> bytes:
        """What the label names."""
        with self.mall.begin(self._me) as ctx, self._attachments.open_version(ctx, version=f"{row}@live") as stream:
            return stream.read()

    def drop_all(self) -> None:
        """Even our own rows, past us."""
        with self.mall.engine.begin() as connection:
            for table in ("label_move", "label", "version"):
                connection.execute(text(f"DELETE FROM mall_attachment_{table}"))

    def left(self) -> int:
        """After one run of the collector, when leases have ended."""
        self._ahead += timedelta(hours=2)
        with self.mall.begin(self._me) as ctx:
            self._attachments.collect(ctx, dry_run=False, grace_seconds=0)
        return len(list(self.mall.stores["main"].iter()))


def committed(rival: Rival) -> str:
    """Story 0."""
    with Session(rival.engine()) as session:
        row = rival.add(session, OLD)
        session.commit()
    return _kept(rival, row, OLD)


def unrelated_savepoint(rival: Rival) -> str:
    """Story 1."""
    with Session(rival.engine()) as session:
        row = rival.add(session, OLD)
        nested = session.begin_nested()
        session.execute(text("SELECT 1"))
        nested.rollback()
        session.commit()
    return _kept(rival, row, OLD)


def released_savepoint(rival: Rival) -> str:
    """Story 2."""
    with Session(rival.engine()) as session:
        row = rival.add(session, OLD)
        session.commit()
    with Session(rival.engine()) as session:
        nested = session.begin_nested()
        rival.replace(session, row, NEW)
        nested.commit()
        session.rollback()
    return _kept(rival, row, OLD)


def bulk_delete(rival: Rival) -> str:
    """Story 3."""
    with Session(rival.engine()) as session:
        rival.add(session, OLD)
        session.commit()
    rival.drop_all()
    left = rival.left()
    return f"{left} left" if left else "nothing left"


def rolled_back(rival: Rival) -> str:
    """Story 4."""
    with Session(rival.engine()) as session:
        rival.add(session, OLD)
        session.rollback()
    left = rival.left()
    return f"{left} left" if left else "nothing left"


def _kept(rival: Rival, row: Any, content: bytes) -> str:
    try:
        return "kept" if rival.read(row) == content else "LOST: other bytes"
    except Exception as error:
        return f"LOST: {type(error).__name__}"


STORIES: dict[str, Callable[[Rival], str]] = {
    "0 committed": committed,
    "1 unrelated SAVEPOINT fails, outer commits": unrelated_savepoint,
    "2 replaced in a released SAVEPOINT, outer rolls back": released_savepoint,
    "3 bulk DELETE": bulk_delete,
    "4 rolled back": rolled_back,
}
RIVALS: tuple[Callable[[Path], Rival], ...] = (sqlalchemy_file, filedepot, advanced_alchemy, Ours)


@contextmanager
def opened(make: Callable[[Path], Rival]) -> Iterator[Rival]:
    """A library in an empty folder."""
    with tempfile.TemporaryDirectory(prefix="mallcore-rivals-") as folder:
        _Rows.registry.dispose()
        _Rows.metadata.clear()
        rival = make(Path(folder))
        yield rival
        rival.engine().dispose()


def run() -> dict[str, dict[str, str]]:
    """Every story with every library that is installed."""
    found: dict[str, dict[str, str]] = {}
    for make in RIVALS:
        for story, play in STORIES.items():
            try:
                with opened(make) as rival:
                    found.setdefault(rival.name, {})[story] = play(rival)
            except ImportError as error:
                print(f"{make.__name__}: left out ({error})", file=sys.stderr)
                break
    return found


def main() -> None:
    """Print the table, or with ``--json`` the results."""
    found = run()
    if "--json" in sys.argv:
        print(json.dumps(found, indent=2))
        return
    print("| library |", " | ".join(STORIES), "|")
    print("|---" * (len(STORIES) + 1) + "|")
    for name, results in found.items():
        print(f"| {name} |", " | ".join(results.values()), "|")


if __name__ == "__main__":
    main()
