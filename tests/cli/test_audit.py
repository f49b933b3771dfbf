"""The audit log from the command line: verified here and offline, proved, exported, and fed with logs of edges."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.audit.test_rules import CLOUDFRONT
from tests.cli.typing_in import Typed, type_in

Cli = Callable[..., Typed]


@pytest.fixture
def offline(books: Cli, tmp_path: Path) -> dict[str, Any]:
    """What somebody outside has: the log as a file, a proof, a checkpoint, and the key."""
    note = books("audit", "checkpoint", "--json").json["note"]
    checkpoint = tmp_path / "trusted.txt"
    checkpoint.write_text(note, encoding="utf-8")
    record = books("audit", "list", "--json").json["items"][0]
    found = {"log": str(tmp_path / "log.jsonl"), "proof": str(tmp_path / "proof.json"), "checkpoint": str(checkpoint)}
    assert books("audit", "export", "--output", found["log"]).code == 0
    assert books("audit", "prove", record["id"], "--output", found["proof"]).code == 0
    return {**found, "key": books("audit", "keys", "--json").json["items"][0]["key"], "record": record["id"]}


def test_a_log_is_verified_without_the_mall(offline: dict[str, Any], tmp_path: Path) -> None:
    """A file is checked by key or by a trusted checkpoint in a folder without a mall, and says who vouches for it."""
    log, nowhere = offline["log"], ("--mall", str(tmp_path / "nowhere"))
    by_key = type_in(*nowhere, "audit", "verify", log, "--key", offline["key"])
    assert "4 records, none changed, missing or moved; 4 of them under a trusted checkpoint." in by_key.out
    by_note = type_in(*nowhere, "audit", "verify", log, "--checkpoint", offline["checkpoint"], "--json").json
    assert (by_note["size"], by_note["trusted"]) == (4, 4)
    alone = type_in(*nowhere, "audit", "verify", log)
    assert (alone.code, "give --checkpoint or --key" in alone.err) == (0, True)
    packed = tmp_path / "log.gz"
    packed.write_bytes(gzip.compress(Path(log).read_bytes()))
    assert type_in("audit", "verify", str(packed), "--key", offline["key"]).code == 0


def test_a_touched_log_names_the_record(offline: dict[str, Any]) -> None:
    """A file in which something was changed fails with the index of the record, for people and for programs."""
    path = Path(offline["log"])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    broken = type_in("audit", "verify", offline["log"], "--json")
    assert (broken.code, broken.error["code"], broken.error["index"]) == (1, "log-broken", 2)
    assert "index 2" in type_in("audit", "verify", offline["log"]).err


def test_a_proof_is_checked_without_the_mall(offline: dict[str, Any], tmp_path: Path) -> None:
    """A proof is checked by key or trusted checkpoint; changed, or with nobody to vouch for it, it is refused."""
    proof = offline["proof"]
    for trust in (("--key", offline["key"]), ("--checkpoint", offline["checkpoint"])):
        assert type_in("audit", "verify", proof, "--proof", *trust, "--json").json["size"] == 4
    assert type_in("audit", "verify", proof, "--proof").code == 1
    changed = tmp_path / "changed.json"
    document = json.loads(Path(proof).read_bytes())
    changed.write_text(json.dumps({**document, "leaf": document["leaf"].replace("ok", "no")}), encoding="utf-8")
    told = type_in("audit", "verify", str(changed), "--proof", "--key", offline["key"], "--json")
    assert told.error["code"] == "log-broken"
    for wrong in (offline["log"], str(tmp_path / "nothing")):
        assert type_in("audit", "verify", wrong, "--proof", "--key", offline["key"]).code == 1


def test_growth_is_proved(books: Cli, offline: dict[str, Any], tmp_path: Path) -> None:
    """`prove --since` proves that the log grew from a checkpoint; it takes a record or a size, and not both."""
    assert books("structure", "rename", "fiction/crime", "Crimes").code == 0
    found = books("audit", "prove", "--since", "4").json
    assert found["kind"] == "consistency"
    path = tmp_path / "growth.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    assert type_in("audit", "verify", str(path), "--proof", "--key", offline["key"]).code == 0
    for wrong in ((), (offline["record"], "--since", "4"), ("--since", "3"), ("aud_0",)):
        assert books("audit", "prove", *wrong).code == 1


def test_the_mall_is_verified(books: Cli, folder: Path, offline: dict[str, Any]) -> None:
    """`audit verify` checks the database; a row changed behind the mall's back is named, and `doctor` is content."""
    assert books("audit", "verify", "--checkpoint", offline["checkpoint"], "--json").json["trusted"] == 4
    assert "audit log: checkpoint at 4 records" in books("doctor").out
    with sqlite3.connect(folder / "mall.db") as connection:
        connection.execute("UPDATE mall_audit_record SET outcome = 'ko' WHERE log_index = 2")
    connection.close()
    assert books("audit", "verify", "--json").error["index"] == 2


def test_doctor_shows_a_checkpoint_that_waits(books: Cli, folder: Path) -> None:
    """Where the second store can't be written, the checkpoint is kept and `doctor` says so."""
    blocked = folder / "checkpoints"
    blocked.write_bytes(b"")
    made = books("audit", "checkpoint", "--json").json
    assert made["stored_at"] is None
    told = books("doctor")
    assert (told.code, "FAIL  audit log" in told.out) == (1, True)
    blocked.unlink()
    assert books("audit", "checkpoint", "--json").json["failure"] is None
    assert books("doctor").code == 0


def test_logs_of_edges_are_taken_in(books: Cli, tmp_path: Path) -> None:
    """Files are taken in once, packed or not, and lines that are none are named by file and line."""
    first, second = tmp_path / "a.log", tmp_path / "b.gz"
    first.write_text(CLOUDFRONT + "nonsense\n", encoding="utf-8")
    second.write_bytes(gzip.compress(CLOUDFRONT.replace("request-1", "request-2").encode()))
    found = books("audit", "ingest", str(first), str(second), "--json").json
    assert (found["forged"], found["bad"], found["problems"][0]["line"]) == (2, 1, 4)
    again = books("audit", "ingest", str(first), str(second))
    assert "2 known" in again.out
    assert f"{first}:4" in again.err
    assert books("audit", "ingest", str(tmp_path / "nothing")).code == 1


def test_a_person_is_erased(books: Cli) -> None:
    """`audit erase-subject` destroys a person's key."""
    assert books("access", "grant", "user:ada", "visitor").code == 0
    assert books("audit", "show", "--json").json["items"][0]["after"]["principal"] == "user:ada"
    assert "--yes" in books("audit", "erase-subject", "user:ada").err
    assert books("audit", "erase-subject", "user:ada", "--yes", "--json").json["subjects"] == 1
    assert books("audit", "show", "--json").json["items"][1]["after"]["principal"] == "user:(erased)"
