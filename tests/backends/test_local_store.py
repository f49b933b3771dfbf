"""What only a folder can promise: nothing half-written is seen, and nothing outside is reached."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pytest

from mallcore.backends.local import LocalStore, object_store_backend
from mallcore.errors import ObjectMissing, StoreUnavailable
from mallcore.testing.object_parts import raised, read


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A folder that does not exist yet."""
    return LocalStore(tmp_path / "objects")


def test_nothing_is_made_before_the_first_object(store: LocalStore, tmp_path: Path) -> None:
    """Opening, asking, listing and removing make no folder; the first object makes all that is missing."""
    assert list(store.iter()) == []
    assert type(raised(store.stat, "a/b")) is ObjectMissing
    store.delete("a/b")
    assert list(tmp_path.iterdir()) == []
    store.put_new("a/b", BytesIO(b"x"))
    assert (tmp_path / "objects/a/b").read_bytes() == b"x"


def test_urls_of_folders(tmp_path: Path) -> None:
    """A relative path is below the mall's folder, an absolute one is not; both may be percent-encoded."""
    for url, path in (
        ("file:objects", tmp_path / "objects"),
        ("file:a%20b/c", tmp_path / "a b/c"),
        ("file:///var/mall", Path("/var/mall")),
        ("file://localhost/var/mall", Path("/var/mall")),
        ("file:/var/mall", Path("/var/mall")),
    ):
        store = object_store_backend(url, tmp_path)
        assert store is not None
        assert store.url == path.as_uri()
    assert object_store_backend("s3://bucket", tmp_path) is None


KILLED = """
import os, sys
from pathlib import Path
from mallcore.backends.local import LocalStore

class Endless:
    def read(self, size):
        print("more", flush=True)
        return b"x" * 4096

LocalStore(Path(sys.argv[1])).put_new("a/killed", Endless())
"""


def test_a_writer_that_is_killed_leaves_no_object(store: LocalStore, tmp_path: Path) -> None:
    """Its temporary file is seen by nobody, the key is free, and after a day it is swept away."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    with subprocess.Popen([sys.executable, script, tmp_path / "objects"], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(3):
            assert writer.stdout.readline() == b"more\n"
        writer.send_signal(signal.SIGKILL)
    (left,) = (tmp_path / "objects/.new").iterdir()
    assert list(store.iter()) == []
    assert type(raised(store.stat, "a/killed")) is ObjectMissing
    store.put_new("a/killed", BytesIO(b"x"))
    assert left.exists(), "it may be another writer's"
    yesterday = time.time() - 90_000
    os.utime(left, (yesterday, yesterday))
    LocalStore(tmp_path / "objects").put_new("a/later", BytesIO(b"x"))
    assert list((tmp_path / "objects/.new").iterdir()) == []


def test_no_link_is_followed(store: LocalStore, tmp_path: Path) -> None:
    """A link that somebody puts into the folder reaches nothing outside: not by its own key, nor through it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store.put_new("a/b", BytesIO(b"x"))
    (tmp_path / "objects/file").symlink_to(outside / "secret")
    (tmp_path / "objects/folder").symlink_to(outside)
    for key in ("file", "folder", "folder/secret"):
        for call in (store.open, store.stat):
            assert type(raised(call, key)) is ObjectMissing
        with pytest.raises(Exception, match=r"file|folder"):
            store.put_new(key, BytesIO(b"y"))
    store.delete("folder/secret")
    assert [one.key for one in store.iter()] == ["a/b"]
    assert [path.read_bytes() for path in outside.iterdir()] == [b"secret"]


def test_a_pipe_is_no_object(store: LocalStore, tmp_path: Path) -> None:
    """What is no file is not there, and nobody waits for it."""
    store.put_new("a/b", BytesIO(b"x"))
    os.mkfifo(tmp_path / "objects/a/pipe")
    assert type(raised(store.open, "a/pipe")) is ObjectMissing
    assert type(raised(store.stat, "a/pipe")) is ObjectMissing
    assert [one.key for one in store.iter()] == ["a/b"]


def test_a_folder_that_is_taken_away_comes_back(store: LocalStore, tmp_path: Path) -> None:
    """A store whose folder was removed meanwhile makes it again."""
    store.put_new("a/b", BytesIO(b"x"))
    (tmp_path / "objects").rename(tmp_path / "elsewhere")
    store.put_new("a/b", BytesIO(b"y"))
    assert read(store, "a/b") == b"y"


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    """A path that can't be a folder is the store's failure, not a missing object."""
    (tmp_path / "objects").write_bytes(b"")
    assert isinstance(raised(LocalStore(tmp_path / "objects").put_new, "a", BytesIO(b"x")), StoreUnavailable)
    assert isinstance(raised(LocalStore(tmp_path / "objects/deeper").put_new, "a", BytesIO(b"x")), StoreUnavailable)
