"""Files from the command line: kept and fetched whole or not at all, verified, shown, linked, collected."""

import hashlib
import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM
from tests.cli.typing_in import Typed

Cli = Callable[..., Typed]
CONTENT = bytes(range(256)) * 4096
MISSING = "att_" + "0" * 32 + "@1"


@pytest.fixture
def cover(tmp_path: Path) -> Path:
    file = tmp_path / "cover.bin"
    file.write_bytes(CONTENT)
    return file


@pytest.fixture
def ref(books: Cli, cover: Path) -> str:
    """The reference of a version that holds the cover."""
    done = books("attachments", "put", str(cover), "--owner", "channel:books")
    assert done.code == 0, done.err
    return done.out.strip()


def test_put_prints_the_reference_and_nothing_else(books: Cli) -> None:
    """A new attachment begins at 1; with --attachment it gets a version more, of the owner and slot it has."""
    first = books(
        "attachments", "put", "-", "--name", "a.txt", "--owner", "user:ada", "--slot", "upload", stdin=b"first"
    )
    assert first.code == 0, first.err
    attachment, _, number = first.out.strip().partition("@")
    assert (attachment[:4], number) == ("att_", "1")
    again = books("attachments", "put", "-", "--name", "b.txt", "--attachment", attachment, stdin=b"second")
    assert again.out == f"{attachment}@2\n", again.err
    shown = books("attachments", "version", f"{attachment}@2", "--json").json
    assert (shown["file_name"], shown["slot"], shown["size"]) == ("b.txt", "upload", 6)


def test_get_writes_what_was_put(books: Cli, cover: Path, ref: str, tmp_path: Path) -> None:
    """Byte for byte, to a file or to standard output; an older version as well as the newest."""
    books("attachments", "put", "-", "--name", "b", "--attachment", ref.partition("@")[0], stdin=b"second")
    target = tmp_path / "got.bin"
    done = books("attachments", "get", ref, "--output", str(target), "--json").json
    assert (target.read_bytes(), done["digest"]) == (CONTENT, hashlib.sha256(CONTENT).hexdigest())
    assert books("attachments", "get", ref, "-o", "-").stdout == CONTENT
    assert books("attachments", "get", ref.partition("@")[0], "-o", "-").stdout == b"second"


def test_get_overwrites_nothing_unasked(books: Cli, ref: str, tmp_path: Path) -> None:
    """A file that is there stays, unless --force; what can't be fetched replaces nothing, and leaves no part."""
    target = tmp_path / "mine.bin"
    target.write_bytes(b"mine")
    refused = books("attachments", "get", ref, "--output", str(target), "--json")
    assert (refused.code, refused.error["code"], target.read_bytes()) == (1, "invalid-input", b"mine")
    assert books("attachments", "get", MISSING, "-o", str(target), "--force").code == 1
    assert target.read_bytes() == b"mine"
    assert books("attachments", "get", ref, "--output", str(target), "--force").code == 0
    assert target.read_bytes() == CONTENT
    assert not list(tmp_path.glob(".*.part"))


def objects(folder: Path) -> list[Path]:
    """The files of the object store in the mall's folder."""
    return [one for one in folder.rglob("*") if one.is_file() and "sha256" in one.parts]


def test_a_touched_content_is_never_passed_on_as_whole(books: Cli, ref: str, folder: Path, tmp_path: Path) -> None:
    """One byte changed in the store: get and verify say so, exit with 1, and no file is left."""
    assert books("attachments", "verify", ref).out == f"{ref}: {len(CONTENT):,} bytes, as kept.\n"
    (kept,) = objects(folder)
    kept.chmod(0o600)
    kept.write_bytes(b"X" + CONTENT[1:])
    target = tmp_path / "got.bin"
    refused = books("attachments", "get", ref, "--output", str(target), "--json")
    assert (refused.code, refused.error["code"], target.exists()) == (1, "store-unavailable", False)
    verified = books("attachments", "verify", ref.partition("@")[0], "--json")
    assert verified.code == 1
    found = json.loads(verified.stdout)
    assert (found["bad"], found["items"][0]["state"], found["items"][0]["ref"]) == (1, "bad", ref)
    kept.unlink()
    assert "bad" in books("attachments", "verify", ref).out


def test_what_was_dropped_is_not_bad(books: Cli, ref: str) -> None:
    """A version whose content was given up on purpose has nothing to be verified."""
    books("attachments", "put", "-", "--name", "b", "--attachment", ref.partition("@")[0], stdin=b"second")
    dropped = books("attachments", "drop", ref, "--reason", "asked for", "--yes")
    assert dropped.code == 0, dropped.err
    found = books("attachments", "verify", ref.partition("@")[0], "--json").json
    assert {one["ref"]: one["state"] for one in found["items"]} == {
        ref: "skipped",
        ref.replace("@1", "@2"): "ok",
    }


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("put", "nowhere.bin", "--owner", "channel:books"), "not-found"),
        (("put", ".", "--owner", "channel:books"), "invalid-input"),
        (("put", "-", "--owner", "channel:books"), "invalid-input"),
        (("put", "-", "--name", "a"), "invalid-input"),
        (("put", "-", "--name", "../../a\n", "--owner", "channel:books"), "invalid-input"),
        (("put", "-", "--name", "a", "--owner", "channel:toys"), "unknown-channel"),
        (("put", "-", "--name", "a", "--owner", "channel:books", "--slot", "shelf"), "unknown-slot"),
        (("put", "-", "--name", "a", "--owner", "channel:books", "--meta", "{"), "invalid-input"),
        (("put", "-", "--name", "a", "--owner", "channel:books", "--sha256", "0" * 64), "content-mismatch"),
        (("put", "-", "--name", "a", "--owner", "channel:books", "--size", "2"), "content-mismatch"),
        (("get", MISSING, "-o", "a.bin"), "unknown-version"),
        (("get", "cover", "-o", "a.bin"), "invalid-reference"),
        (("verify", MISSING), "unknown-version"),
        (("restore", MISSING), "unknown-version"),
        (("link", MISSING), "unknown-attachment"),
        (("hold", MISSING[:-2], "--reason", "court"), "unknown-attachment"),
        (("erase", "user:ada"), "invalid-input"),
    ],
)
def test_what_can_not_be_is_refused(words: tuple[str, ...], code: str, books: Cli) -> None:
    """Exit code 1, one line for people, a code for programs, and nothing is kept."""
    refused = books("attachments", *words, "--json", stdin=b"x")
    assert refused.error["code"] == code
    assert books("attachments", *words, stdin=b"x").err.startswith("error: ")
    assert books("attachments", "list", "--json").json["items"] == []


def test_versions_labels_and_their_history(books: Cli, ref: str) -> None:
    """An old version is restored under a new number; labels move, and where they stood is told; all is in the log."""
    attachment = ref.partition("@")[0]
    books("attachments", "put", "-", "--name", "b", "--attachment", attachment, stdin=b"second")
    assert books("attachments", "restore", ref).out == f"{attachment}@3\n"
    assert books("attachments", "label", attachment, "spring", "2").code == 0
    assert books("attachments", "get", f"{attachment}@spring", "-o", "-").stdout == b"second"
    moved = books("attachments", "label", attachment, "spring", "3", "--expect", "1", "--json")
    assert moved.error["code"] == "label-moved"
    moves = books("attachments", "moves", attachment, "live", "--json").json["items"]
    assert [one["n"] for one in moves] == [3, 2, 1]
    assert [one["n"] for one in books("attachments", "versions", attachment, "--json").json["items"]] == [3, 2, 1]
    logged = [one["operation"] for one in books("attachments", "log", ref, "--json").json["items"]]
    assert {"attachments.restore_version", "attachments.set_label", "attachments.open_version"} <= set(logged)


def test_what_is_held_is_neither_dropped_nor_collected(books: Cli, ref: str, folder: Path) -> None:
    """A hold stands until it is released; without --yes nothing is deleted, and what is referred to never."""
    attachment = ref.partition("@")[0]
    held = books("attachments", "hold", attachment, "--reason", "court", "--json").json
    assert books("attachments", "drop", ref, "--reason", "x", "--yes", "--json").error["code"] == "on-hold"
    assert books("attachments", "release", held["id"]).code == 0
    assert books("attachments", "unlabel", attachment, "live").out == "Done.\n"
    unsure = books("attachments", "drop", ref, "--reason", "x", "--json")
    assert "--yes" in unsure.error["message"]
    assert books("attachments", "drop", ref, "--reason", "x", "--yes").code == 0
    dry = books("attachments", "collect", "--grace-seconds", "0")
    assert dry.out.startswith("Would collect 1 contents")
    assert len(objects(folder)) == 1
    done = books("attachments", "collect", "--grace-seconds", "0", "--yes", "--json").json
    assert (done["dry_run"], done["blobs"], objects(folder)) == (False, 1, [])
    assert books("attachments", "get", ref, "-o", "-", "--json").error["code"] == "content-erased"


def test_a_store_is_scrubbed(books: Cli, ref: str, folder: Path) -> None:
    """What is gone from the store is named by its key, and the command fails, so that a timer tells."""
    assert books("attachments", "scrub", "--json").json["missing"] == []
    (kept,) = objects(folder)
    kept.unlink()
    done = books("attachments", "scrub", "--json")
    (missing,) = json.loads(done.stdout)["missing"]
    assert missing.endswith(kept.name)
    assert done.code == 1


def test_keys_are_listed_rotated_and_revoked(books: Cli, ref: str) -> None:
    """A new key signs from now on; links of a revoked one open no more. No secret is shown."""
    first = books("attachments", "link", ref, "--json").json
    assert first["url"].endswith(first["token"])
    assert books("keys", "rotate", "links", "--json").json["number"] == 2
    listed = books("keys", "list", "--json").json["items"]
    links = {one["number"]: one["state"] for one in listed if one["purpose"] == "links"}
    assert set(links) == {1, 2}
    assert not any("secret" in one or "material" in one for one in listed)
    assert books("keys", "revoke", "links", "1").code == 0
    assert books("keys", "revoke", "links", "77", "--json").error["code"] == "unknown-key"


def test_progress_is_drawn_on_a_terminal_only(books: Cli, folder: Path, cover: Path) -> None:
    """A bar goes to a terminal on stderr, none elsewhere; stdout has the reference, and nothing else."""
    ours, theirs = pty.openpty()
    words = ["--mall", str(folder), "attachments", "put", str(cover), "--owner", "channel:books"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    running = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    drawn = b""
    while running.poll() is None or select.select([ours], [], [], 0.2)[0]:
        try:
            drawn += os.read(ours, 65536) if select.select([ours], [], [], 0.2)[0] else b""
        except OSError:
            break
    os.close(ours)
    assert running.stdout is not None
    with running, running.stdout:
        assert running.stdout.read().decode().startswith("att_")
    assert b"sending" in drawn
    assert books("attachments", "put", str(cover), "--owner", "channel:books").stderr == b""


def test_an_upload_that_is_interrupted_keeps_nothing(books: Cli, folder: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a file: exit code 130, no traceback, no attachment."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = ["--mall", str(folder), "attachments", "put", str(pipe), "--owner", "channel:books"]
    process = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        with pipe.open("wb") as file:  # opens when the command does
            file.write(CONTENT)  # more than a pipe holds: when it is written, it is being read
            file.flush()
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert (process.returncode, out, err) == (130, "", "")
    assert books("attachments", "list", "--json").json["items"] == []
