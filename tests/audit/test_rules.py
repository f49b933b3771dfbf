"""The rules of the log: the tree and its proofs by property, tiles, notes, leaves, and edges' lines."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given
from hypothesis import strategies as st

from mallcore.audit.model.tables import audit_record
from mallcore.audit.rules import edges, exports, leaves, notes, proofs, tiles, tree
from mallcore.errors import InvalidInput, LimitExceeded, LogBroken

SIZES = st.integers(1, 700)
SEED = bytes(range(32))


def hashes_of(size: int) -> list[bytes]:
    """Leaves, by their hashes."""
    return [tree.leaf_hash(str(number).encode()) for number in range(size)]


def plain_root(hashes: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word for word."""
    if not hashes:
        return sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha256(b"\1" + plain_root(hashes[:split]) + plain_root(hashes[split:])).digest()


def tiled(hashes: list[bytes], steps: list[int]) -> dict[tuple[int, int], bytes]:
    """The tiles of a tree that grew in these steps."""
    kept: dict[tuple[int, int], bytes] = {}
    done = 0
    for step in [*steps, len(hashes)]:
        part = hashes[done : done + step]
        kept.update(tiles.grown(done, part, lambda level, number: kept[level, number]))
        done += len(part)
    return kept


def reader(kept: dict[tuple[int, int], bytes]) -> tree.Node:
    """Hashes of subtrees, from tiles."""
    return tiles.node_reader(lambda level, number: kept[level, number])


@given(size=st.integers(0, 700), steps=st.lists(st.integers(0, 300), max_size=5))
def test_the_root_is_the_one_of_the_standard(size: int, steps: list[int]) -> None:
    """However a tree grows, its root from tiles and from its frontier is the one that RFC 6962 defines."""
    hashes = hashes_of(size)
    assert tree.root(reader(tiled(hashes, steps)), size) == tree.Frontier(hashes).root == plain_root(hashes)


@given(size=SIZES, data=st.data())
def test_a_record_is_proved_and_no_other(size: int, data: st.DataObject) -> None:
    """A path proves its leaf at its index in its tree; with anything else in its place it proves nothing."""
    hashes = hashes_of(size)
    index = data.draw(st.integers(0, size - 1))
    path = tree.inclusion(reader(tiled(hashes, [])), index, size)
    root = plain_root(hashes)
    assert len(path) <= size.bit_length()
    assert tree.included(hashes[index], index, size, path, root)
    assert not tree.included(tree.leaf_hash(b"x"), index, size, path, root)
    assert not tree.included(hashes[index], index, size, [*path, root], root)
    assert not tree.included(hashes[index], index, size, path, tree.EMPTY)
    assert not tree.included(hashes[index], index + size, size, path, root)
    other = data.draw(st.integers(0, size - 1))
    assert tree.included(hashes[index], other, size, path, root) == (other == index)
    if path:
        assert not tree.included(hashes[index], index, size, path[:-1], root)


@given(size=SIZES, data=st.data())
def test_growth_is_proved_and_nothing_else(size: int, data: st.DataObject) -> None:
    """A consistency proof holds between a tree and each of its beginnings, and for no other roots."""
    hashes = hashes_of(size)
    old = data.draw(st.integers(0, size))
    path = tree.consistency(reader(tiled(hashes, [])), old, size)
    roots = plain_root(hashes[:old]), plain_root(hashes)
    assert tree.consistent(old, size, *roots, path)
    if 0 < old < size:
        wrong = tree.leaf_hash(b"x")
        assert not tree.consistent(old, size, wrong, roots[1], path)
        assert not tree.consistent(old, size, roots[0], wrong, path)
        assert not tree.consistent(old, size, *roots, [*path, wrong])
        assert not tree.consistent(old, size, *roots, path[:-1])
        assert not tree.consistent(old, size, *roots, [])
    assert not tree.consistent(size + 1, size, *roots, path)


@given(size=st.integers(1, 130), data=st.data())
def test_another_implementation_agrees(size: int, data: st.DataObject) -> None:
    """Roots and paths are those that an independent implementation of RFC 9162 makes."""
    pymerkle = pytest.importorskip("pymerkle")
    other = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(size):
        other.append_entry(str(number).encode())
    hashes = hashes_of(size)
    node = reader(tiled(hashes, []))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert tree.root(node, size) == other.get_root()
    theirs = [bytes.fromhex(one) for one in other.prove_inclusion(index + 1, size).serialize()["path"]]
    assert theirs == [hashes[index], *tree.inclusion(node, index, size)]
    growth = tree.consistency(node, old, size)
    assert tree.consistent(old, size, other.get_root(old), other.get_root(), growth)


@given(since=st.integers(0, 1500), more=st.integers(0, 1500))
def test_a_tree_shows_the_tiles_it_has(since: int, more: int) -> None:
    """What a larger tree has to be written beyond a smaller one is exactly what is new in it."""
    whole, before = tiles.shown(since + more), tiles.shown(since)
    assert set(tiles.shown(since + more, since)) == set(whole) - set(before)


def test_tiles_are_where_clients_look_for_them() -> None:
    """Paths of tiles are those of C2SP tlog-tiles."""
    assert tiles.path(0, 0) == "tile/0/000"
    assert tiles.path(1, 1234067) == "tile/1/x001/x234/067"
    assert tiles.path(0, 5, 3) == "tile/0/005.p/3"
    assert tiles.bundle([b"ab", b""]) == b"\0\2ab\0\0"


def test_a_checkpoint_is_signed_and_read() -> None:
    """A note holds origin, size and root; its signature holds for its key, and for no other text, name or key."""
    root = tree.leaf_hash(b"a")
    text = notes.signed("shop.example/log", 12, root, SEED)
    lines = text.split("\n")
    assert lines[:4] == ["shop.example/log", "12", base64.b64encode(root).decode(), ""]
    assert lines[4].startswith("— shop.example/log ")
    assert text.endswith("\n")
    found, key = notes.checkpoint(text), notes.public_key("shop.example/log", SEED)
    assert (found.origin, found.size, found.root) == ("shop.example/log", 12, root)
    assert notes.signer(found, [key]) == key
    assert notes.verification_key(str(key)) == key
    assert notes.signer(found, [notes.public_key("shop.example/log", bytes(32))]) is None
    assert notes.signer(found, [notes.public_key("other", SEED)]) is None
    forged = notes.checkpoint(text.replace("\n12\n", "\n13\n"))
    with pytest.raises(InvalidSignature):
        notes.signer(forged, [key])
    assert notes.checkpoints(text + "\n" + text) == [found, found]


def test_a_known_note_verifies() -> None:
    """The example key of Go's note package has the identity that C2SP defines: keys are read as others write them."""
    key = notes.verification_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert (key.name, key.id.hex()) == ("PeterNeumann", "c74f20a3")


@pytest.mark.parametrize(
    "text",
    [
        "", "a\n1\n", "a\n01\n" + "A" * 43 + "=\n\n— a AAAA\n", "a\n-1\n" + "A" * 43 + "=\n\n— a AAAA\n",
        "a\n1\n" + "A" * 42 + "=\n\n— a AAAA\n", "a\n1\n" + "A" * 43 + "=\n", "a\n1\n" + "A" * 43 + "=\n\n- a AAAA\n",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """A text that has not the form of a checkpoint is an input error, whatever it is."""
    with pytest.raises(InvalidInput):
        notes.checkpoint(text)


@pytest.mark.parametrize("text", ["", "a", "a+b+c", "a+00000000+AQ==", "a+00000000+" + "A" * 44])
def test_what_is_no_key_is_refused(text: str) -> None:
    """A text that is no vkey is an input error."""
    with pytest.raises(InvalidInput):
        notes.verification_key(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def row(**values: Any) -> dict[str, Any]:
    """A record's row."""
    return {**dict.fromkeys(audit_record.c.keys()), "at": datetime(2030, 1, 1, 12, 0, 0, 5, UTC), **values}


@given(value=st.dictionaries(st.text(), JSON, max_size=4))
def test_a_leaf_survives_the_database(value: dict[str, Any]) -> None:
    """What JSON keeps of a value makes the same leaf as the value itself."""
    value = leaves.replaced(value, str)
    assert leaves.leaf(row(after=value)) == leaves.leaf(row(after=json.loads(json.dumps(value))))


@given(
    value=st.dictionaries(st.text(), JSON, max_size=3) | st.none(),
    text=st.text() | st.none(),
    number=st.integers() | st.none(),
)
def test_a_leaf_is_canonical_json(value: Any, text: str | None, number: int | None) -> None:
    """A leaf is the JSON object of the record's fields with sorted names and no spaces, whatever they hold."""
    value = leaves.replaced(value, str)
    found = row(after=value, before=value, subject=text, request_id=text, jti=text, revision=number)
    fields = {name: one for name, one in found.items() if name not in ("form", "leaf", "log_index")}
    fields |= {"at": "2030-01-01T12:00:00.000005+00:00", "v": leaves.FORM}
    assert leaves.leaf(found) == json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def test_names_of_other_kinds_are_what_json_makes_of_them() -> None:
    """A number as a name is its text, so that the leaf is the same before and after it was stored."""
    value = leaves.replaced({10: "a", 9: ("b",), None: 1, True: 2, 1.5: 3}, str)
    assert value == {"10": "a", "9": ["b"], "null": 1, "true": 2, "1.5": 3}


def test_persons_are_found_wherever_they_stand() -> None:
    """References to persons are replaced in values and names, at any depth; words that only begin alike are not."""
    value = {"user:a": [{"x": "user:b"}, "users: c", "user:", "client:d"]}
    assert leaves.persons(value) == {"user:a", "user:b"}
    assert leaves.replaced(value, lambda _: "P") == {"P": [{"x": "P"}, "users: c", "user:", "client:d"]}


def test_a_long_leaf_fits_in_a_tile() -> None:
    """What would not fit in a bundle stands in the leaf by its digest, and any change of it changes the leaf."""
    long, other = row(after={"a": "x" * 70_000}), row(after={"a": "x" * 69_999 + "y"})
    assert len(leaves.leaf(long)) < 65_536
    assert leaves.leaf(long) != leaves.leaf(other)


# --- files and proofs


def file_of(size: int, marks: tuple[int, ...] = ()) -> list[bytes]:
    """An exported log of so many records, with checkpoints at these sizes and at its end."""
    content = [b'{"n":%d}' % number for number in range(size)]
    hashes = [tree.leaf_hash(one) for one in content]
    noted = [exports.note(notes.signed("o", mark, plain_root(hashes[:mark]), SEED)) for mark in (*marks, size)]
    lines = [exports.record(index, hashes[index], one) for index, one in enumerate(content)]
    return [exports.header("o", size), *lines, *noted]


KEY = notes.public_key("o", SEED)


def rewritten(lines: list[bytes], at: int) -> list[bytes]:
    """The file with another record at an index, whose hash is right."""
    changed = b'{"n":"other"}'
    return [*lines[: at + 1], exports.record(at, tree.leaf_hash(changed), changed), *lines[at + 2 :]]


@given(size=st.integers(2, 60), data=st.data())
def test_a_file_that_was_touched_names_the_record(size: int, data: st.DataObject) -> None:
    """A flipped bit, a record dropped, swapped or cut off in a file is named by the first index that is wrong."""
    lines = file_of(size)
    assert exports.check(lines, (), [KEY]).trusted == size
    at = data.draw(st.integers(0, size - 1))
    line = bytearray(lines[at + 1])
    bit = data.draw(st.integers(0, 8 * (len(line) - 1) - 1))
    line[bit // 8] ^= 1 << bit % 8
    other = data.draw(st.integers(0, size - 1).filter(lambda one: one != at))
    swapped = list(lines)
    swapped[at + 1], swapped[other + 1] = lines[other + 1], lines[at + 1]
    for touched, index in (
        ([*lines[: at + 1], bytes(line), *lines[at + 2 :]], at),
        ([*lines[: at + 1], *lines[at + 2 :]], at),
        (swapped, min(at, other)),
        (lines[: at + 1], at),
    ):
        with pytest.raises(LogBroken) as broken:
            exports.check(touched, (), [KEY])
        assert broken.value.details["index"] == index


def test_a_rewritten_file_breaks_with_its_checkpoints() -> None:
    """A record rewritten with its hash is told by the first checkpoint that does not fit, behind the last that does."""
    lines = rewritten(file_of(50, (10, 20, 30)), 24)
    with pytest.raises(LogBroken, match="records from 20 to 29") as broken:
        exports.check(lines, (), [KEY])
    assert broken.value.details["index"] == 20
    assert exports.check(lines, (), ()).trusted == 0
    trusted = [notes.checkpoint(notes.signed("o", 50, plain_root(hashes_of(50)), SEED))]
    with pytest.raises(LogBroken):
        exports.check(lines, trusted)


def test_a_fork_is_told() -> None:
    """A trusted checkpoint of the same size with another root says that the log was forked."""
    other = notes.checkpoint(notes.signed("o", 50, tree.leaf_hash(b"x"), SEED))
    with pytest.raises(LogBroken, match="forked"):
        exports.check(file_of(50), [other], [KEY])


def test_a_cut_log_is_told_by_an_older_checkpoint() -> None:
    """A log that is consistent in itself but shorter than a trusted checkpoint was cut."""
    longer = notes.checkpoint(json.loads(file_of(60)[-1])["checkpoint"])
    with pytest.raises(LogBroken, match="end is cut") as broken:
        exports.check(file_of(50), [longer], [KEY])
    assert broken.value.details["index"] == 50


def test_a_forged_or_foreign_checkpoint_is_told() -> None:
    """A checkpoint whose signature is not by its key is forged; one of another log, or by no given key, is refused."""
    lines = file_of(5)
    forged = lines[-1].replace(b"o\\n5\\n", b"o\\n4\\n")
    with pytest.raises(LogBroken, match="forged"):
        exports.check([*lines[:-1], forged], (), [KEY])
    for name, seed in (("other", SEED), ("o", bytes(32))):
        one = notes.checkpoint(notes.signed(name, 5, plain_root(hashes_of(5)), seed))
        with pytest.raises(InvalidInput):
            exports.check(lines, [one], [KEY])
    for wrong in ([], [b"x"], [b"{}\n"], [b'{"mallcore_audit_log":2}\n']):
        with pytest.raises(InvalidInput):
            exports.check(wrong)


def test_proofs_are_checked_offline() -> None:
    """A proof needs a checkpoint that a key signed or that is trusted; anything changed in it is told."""
    content = [b'{"n":%d}' % number for number in range(9)]
    hashes = [tree.leaf_hash(one) for one in content]
    node = reader(tiled(hashes, []))
    note, old = (notes.signed("o", size, plain_root(hashes[:size]), SEED) for size in (9, 4))
    record = proofs.of_record(3, content[3], tree.inclusion(node, 3, 9), note)
    growth = proofs.of_growth(old, tree.consistency(node, 4, 9), note)
    for document in (record, growth):
        assert proofs.check(document, (), [KEY]).size == 9
        assert proofs.check(document, [notes.checkpoint(note)]).size == 9
        with pytest.raises(InvalidInput):
            proofs.check(document)
        for wrong in ({**document, "path": document["path"][1:]}, {**document, "path": []}):
            with pytest.raises(LogBroken):
                proofs.check(wrong, (), [KEY])
        for wrong in ({}, {**document, "kind": 5}, {**document, "path": ["x"]}, {**document, "checkpoint": "x"}):
            with pytest.raises(InvalidInput):
                proofs.check(wrong, (), [KEY])
    with pytest.raises(LogBroken):
        proofs.check({**record, "leaf": '{"n":4}'}, (), [KEY])


# --- logs of edges

CLOUDFRONT = (
    "#Version: 1.0\n"
    "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
    "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id\n"
    "2030-01-02\t03:04:05\tFRA2\t1045\t192.0.2.10\tGET\td1.example\t/att/a.png\t200\t-\tMozilla/5.0%2520(X11)\t"
    "x-mall-jti=abc&Expires=1\t-\tHit\trequest-1==\n"
)
S3 = (
    "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be bucket [02/Jan/2030:03:04:05 +0000] 192.0.2.3 "
    '- 3E57427F3EXAMPLE REST.GET.OBJECT b/unt/sha256/ab "GET /bucket/b/unt/sha256/ab?x-mall-jti=abc&X-Amz-Date=1 '
    'HTTP/1.1" 200 - 113 113 7 6 "-" "S3 \\"Console\\"/0.4" - 9vKBE6vM= SigV4 TLS_AES HOST TLSv1.3 - -\n'
)


def test_lines_of_edges_are_read() -> None:
    """CloudFront's and S3's lines give time, request, who asked, and the link's id."""
    (cloud,) = edges.read(edges.lines(gzip.compress(CLOUDFRONT.encode()), 1 << 20))
    (store,) = edges.read(edges.lines(S3.encode(), 1 << 20))
    assert isinstance(cloud, edges.Access)
    assert isinstance(store, edges.Access)
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (cloud.at, cloud.method, cloud.path, cloud.status, cloud.sent) == (at, "GET", "/att/a.png", 200, 1045)
    assert (cloud.jti, cloud.address, cloud.agent, cloud.request) == (
        "abc", "192.0.2.10", "Mozilla/5.0 (X11)", "request-1==",
    )  # fmt: skip
    assert (store.at, store.method, store.path, store.status, store.sent) == (
        at, "GET", "/bucket/b/unt/sha256/ab", 200, 113,
    )  # fmt: skip
    assert (store.jti, store.address, store.request) == ("abc", "192.0.2.3", "3E57427F3EXAMPLE")


@pytest.mark.parametrize(
    "line",
    ["a\tb", "nonsense", "\t" * 14, "x" * 200_000, "2030-99-02\t" + "\t".join("-" * 14), "2030-01-02\t\0" + "\t" * 13],
)
def test_a_bad_line_is_named_and_the_rest_is_read(line: str) -> None:
    """A line that is none of the format is told by its number, and those around it are read."""
    found = list(edges.read(edges.lines((CLOUDFRONT + line + "\n" + CLOUDFRONT).encode(), 1 << 20)))
    assert [type(one) for one in found] == [edges.Access, edges.BadLine, edges.Access]
    assert isinstance(found[1], edges.BadLine)
    assert found[1].number == 4


@given(data=st.binary(max_size=300))
def test_any_bytes_are_lines_or_none(data: bytes) -> None:
    """Whatever is given as a log, it gives lines, bad lines, or an input error."""
    try:
        list(edges.read(edges.lines(data, 1 << 20)))
    except InvalidInput:
        return


def test_a_packed_log_is_bounded() -> None:
    """A small file that unpacks to a huge one, or is cut short, is refused."""
    with pytest.raises(LimitExceeded):
        list(edges.lines(gzip.compress(b"\n" * 5_000_000), 1 << 20))
    with pytest.raises(InvalidInput):
        list(edges.lines(gzip.compress(CLOUDFRONT.encode())[:-20], 1 << 20))
    twice = gzip.compress(CLOUDFRONT.encode()) + gzip.compress(S3.encode())
    assert len(list(edges.lines(twice, 1 << 20))) == 4


def test_a_link_id_that_stands_twice_is_none() -> None:
    """An id given twice in a query was not signed by us, so it matches nobody."""
    twice = CLOUDFRONT.replace("Expires=1", "x-mall-jti=def")
    (found,) = edges.read(edges.lines(twice.encode(), 1 << 20))
    assert isinstance(found, edges.Access)
    assert found.jti is None
