"""Bad input: a typed error, nothing kept, nothing changed, whatever comes in."""

from __future__ import annotations

import hashlib
from io import BytesIO, StringIO
from typing import Any

import pytest

from mallcore import attachments
from mallcore.attachments.rules.uploading import DEEPEST_META, LONGEST_META, checked_meta
from mallcore.errors import (
    ContentMismatch,
    ContentRefused,
    InvalidInput,
    InvalidReference,
    LimitExceeded,
    MallError,
    UnknownAttachment,
    UnknownSlot,
    UnknownUpload,
    UploadClosed,
)
from tests.attachments.storehouse import ME, OWNER, Storehouse

CONTENT = b"a content"
OTHER = hashlib.sha256(b"another").hexdigest()


class Broken(BytesIO):
    """A stream that fails in the middle."""

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(3)
        if not piece:
            raise ConnectionResetError("the sender is gone")
        return piece


class Endless:
    """A stream without an end."""

    def read(self, size: int = -1) -> bytes:
        return b"\0" * (1 << 20)


class NoBytes:
    """A stream that gives something else."""

    def __init__(self, piece: Any) -> None:
        self._piece = piece

    def read(self, size: int = -1) -> Any:
        return self._piece


def deep(levels: int) -> Any:
    """Lists within lists."""
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


WRONG: dict[str, tuple[dict[str, Any], type[BaseException]]] = {
    "another digest": ({"sha256": OTHER}, ContentMismatch),
    "a larger size": ({"size": 10}, ContentMismatch),
    "a smaller size": ({"size": 8}, ContentMismatch),
    "a digest in capitals": ({"sha256": OTHER.upper()}, InvalidInput),
    "half a digest": ({"sha256": OTHER[:32]}, InvalidInput),
    "a name of dots": ({"file_name": ".."}, InvalidInput),
    "a path": ({"file_name": "../../etc/passwd"}, InvalidInput),
    "a path of another system": ({"file_name": "..\\a.txt"}, InvalidInput),
    "a name with a null byte": ({"file_name": "a\0.png"}, InvalidInput),
    "a name with half a sign": ({"file_name": "a\ud800.png"}, InvalidInput),
    "a name with a line break": ({"file_name": "a\r\nSet-Cookie: x"}, InvalidInput),
    "a name that reads backwards": ({"file_name": "a\u202egnp.exe"}, InvalidInput),
    "no name": ({"file_name": ""}, InvalidInput),
    "a name without end": ({"file_name": "a" * 256}, InvalidInput),
    "a slot that is none": ({"slot": "nothing"}, UnknownSlot),
    "a slot with a path": ({"slot": "../file"}, UnknownSlot),
    "an owner that is none": ({"owner": "books"}, InvalidReference),
    "an attachment that is none": ({"attachment": f"att_{0:032x}"}, UnknownAttachment),
    "a label that can't be": ({"label": "1"}, InvalidInput),
    "a stream that fails": ({"file": Broken(CONTENT)}, ConnectionResetError),
    "a stream of text": ({"file": StringIO("text")}, InvalidInput),
    "a stream of numbers": ({"file": NoBytes(7)}, InvalidInput),
    "a stream of lists": ({"file": NoBytes([1])}, InvalidInput),
    "a stream without end": ({"file": Endless(), "slot": "banner"}, LimitExceeded),
    "an empty picture": ({"file": b"", "slot": "banner"}, ContentRefused),
    "half a picture": ({"file": b"\x89PNG\r\n\x1a\n", "slot": "banner"}, ContentRefused),
    "a page that says it is a picture": (
        {"file": b"<html><script>1</script>", "slot": "image", "declared_type": "image/png", "file_name": "a.png"},
        ContentRefused,
    ),
    "facts that are too many": ({"meta": {"text": "x" * LONGEST_META}}, LimitExceeded),
    "facts that are too deep": ({"meta": {"a": deep(DEEPEST_META)}}, InvalidInput),
    "a tower of facts": ({"meta": {"a": deep(900)}}, InvalidInput),
    "facts with a null byte": ({"meta": {"a": ["x\0"]}}, InvalidInput),
    "names of facts with a null byte": ({"meta": {"x\0": 1}}, InvalidInput),
    "facts that are no numbers": ({"meta": {"a": float("inf")}}, InvalidInput),
    "facts that are too large": ({"meta": {"a": 10**40}}, InvalidInput),
    "facts that are no JSON": ({"meta": {"a": {1, 2}}}, InvalidInput),
    "an unknown argument": ({"public": True}, InvalidInput),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_and_leaves_nothing(house: Storehouse, case: str) -> None:
    """Each has a typed error (a stream keeps its own), no version is made, and what lies there is soon collected."""
    given, error = WRONG[case]
    for stream in (value for value in given.values() if hasattr(value, "seek")):
        stream.seek(0)
    with pytest.raises(error):
        house.put(CONTENT, **given)
    assert house.do("list_attachments", removed=True).items == []
    house.collect_later()
    assert house.keys() == []


def test_a_refused_upload_does_not_spoil_its_unit_of_work(house: Storehouse) -> None:
    """Bytes are looked at before anything is written: one may go on in the same block."""
    with house.mall.begin(ME) as ctx:
        for given in ({"sha256": OTHER}, {"meta": {"a": float("nan")}}, {"file": Broken(b"x")}, {"slot": "banner"}):
            with pytest.raises((MallError, ConnectionResetError)):
                attachments.upload_file(ctx, **{"file": CONTENT, "file_name": "a.txt", "owner": OWNER, **given})
        made = attachments.upload_file(ctx, file=CONTENT, file_name="a.txt", owner=OWNER)
    house.check(made)


def test_an_empty_file_is_a_file(house: Storehouse) -> None:
    """Where the slot takes anything it takes nothing, too; and a truncated one is what its bytes are."""
    made = house.put(b"", size=0, sha256=hashlib.sha256(b"").hexdigest())
    assert (made.size, house.read(made.ref)) == (0, b"")
    house.check(made)


@pytest.mark.parametrize(
    "text",
    ["", "att_", "att_1@1", "ATT_" + "0" * 32, f"att_{0:032x}@", f"att_{0:032x}@0", f"att_{0:032x}@01",
     f"att_{0:032x}@-1", f"att_{0:032x}@1@1", f"att_{0:032x}@sha256:ab", f"att_{0:032x}@1\n", f" att_{0:032x}@1",
     f"att_{0:032x}@10000000000", f"att_{0:032x}/../x", "x" * 121],
)  # fmt: skip
def test_what_is_no_reference_is_refused(house: Storehouse, text: str) -> None:
    """A reference has one spelling; everything else is refused by every operation that takes one."""
    for name in ("get_version", "open_version", "restore_version"):
        with pytest.raises((InvalidReference, InvalidInput)):
            house.do(name, version=text)


@pytest.mark.parametrize("id", ["", "att_1", "upl_1", "../x", "x\0", "x" * 41, f"att_{0:032x}@1"])
def test_what_is_no_id_is_refused(house: Storehouse, id: str) -> None:
    """An id that cannot be is unknown, or no input at all."""
    for name, given in {
        "get_attachment": {"attachment": id},
        "list_versions": {"attachment": id},
        "remove_attachment": {"attachment": id},
        "get_upload": {"upload": id},
        "finish_upload": {"upload": id},
        "finish_direct": {"upload": id},
        "end_upload": {"upload": id},
        "attach": {"staged": id},
    }.items():
        with pytest.raises((UnknownAttachment, UnknownUpload, InvalidInput, InvalidReference)):
            house.do(name, **given)


def test_an_upload_that_was_collected_is_not_attached(house: Storehouse) -> None:
    """Whoever waits too long is told, whatever became of the bytes."""
    staged = house.stage(CONTENT)
    house.collect_later()
    for _ in range(2):
        with pytest.raises(UploadClosed):
            house.do("attach", staged=staged.id)
    assert house.do("list_attachments", removed=True).items == []


def test_facts_of_senders_are_kept_as_they_are(house: Storehouse) -> None:
    """What is JSON and small comes back as it was."""
    facts = {"alt": "Ümläut \U0001f4da", "tags": ["a", {"b": [1, 2.5, True, None]}], "": 2**53, "empty": {}}
    assert checked_meta(facts) == facts
    made = house.put(CONTENT, meta=facts)
    assert house.do("get_version", version=made.ref).meta == facts
    assert house.put(b"x", meta={}).meta in ({}, None)
