"""Resumable uploads: parts that come when they come, from whoever goes on; what counts is there for good."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, BinaryIO

import pytest

from mallcore import Principal, access, attachments, audit, structure
from mallcore.attachments.rules import uploading
from mallcore.errors import (
    ContentMismatch,
    ContentRefused,
    Denied,
    InvalidInput,
    LimitExceeded,
    MallError,
    ObjectExists,
    StageFirst,
    StoreFull,
    StoreUnavailable,
    UnknownSlot,
    UnknownUpload,
    UploadClosed,
    WrongOffset,
)
from tests.attachments.storehouse import ME, OWNER, Storehouse


def begin(house: Storehouse, **given: Any) -> str:
    """Begin an upload."""
    return str(house.do("begin_upload", **{"owner": OWNER, "file_name": "a.txt", **given}).id)


def add(house: Storehouse, id: str, offset: int, content: Any, **given: Any) -> int:
    """Bring a part; returns where the upload then stands."""
    return int(house.do("append", upload=id, offset=offset, content=content, **given).offset)


def parts(house: Storehouse) -> list[str]:
    """What lies in the store and is no content yet."""
    kept = house.keys()
    return [key for key in kept if key.startswith("u/")]


def checksum(content: bytes, algorithm: str = "sha256") -> str:
    """A checksum as tus writes it."""
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


class Cut(BytesIO):
    """A stream that ends before its end."""

    def __init__(self, content: bytes, error: Exception) -> None:
        super().__init__(content)
        self._error = error

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if not piece:
            raise self._error
        return piece


def test_parts_become_one_content(house: Storehouse) -> None:
    """An upload is begun, brought in three parts, finished, and attached; its parts are collected."""
    id = begin(house, size=12, meta={"alt": "text"}, declared_type="text/plain")
    assert add(house, id, 0, b"one ") == 4
    assert add(house, id, 4, BytesIO(b"two "), checksum=checksum(b"two ")) == 8
    found = house.do("get_upload", upload=id)
    assert (found.offset, found.size, found.state) == (8, 12, "open")
    assert add(house, id, 8, b"last", checksum=checksum(b"last", "sha1")) == 12
    staged = house.do("finish_upload", upload=id)
    assert (staged.id, staged.size, staged.digest) == (id, 12, hashlib.sha256(b"one two last").hexdigest())
    assert house.do("finish_upload", upload=id) == staged
    made = house.do("attach", staged=id)
    assert (made.meta, made.declared_type, made.file_name) == ({"alt": "text"}, "text/plain", "a.txt")
    house.collect()
    house.check(made, contents={made.ref: b"one two last"})


def test_the_size_may_be_announced_late_or_never(house: Storehouse) -> None:
    """An upload without a size ends where it is finished, unless one is announced with a part."""
    id = begin(house)
    add(house, id, 0, b"abc")
    assert house.do("finish_upload", upload=id).size == 3
    other = begin(house)
    add(house, other, 0, b"abc", size=5)
    with pytest.raises(WrongOffset):
        house.do("finish_upload", upload=other)
    for wrong in (4, 6, 0):
        with pytest.raises(InvalidInput):
            add(house, other, 3, b"de", size=wrong)
    add(house, other, 3, b"de", size=5)
    assert house.do("finish_upload", upload=other).size == 5


def test_a_size_that_was_passed_already_is_refused(house: Storehouse) -> None:
    """Nobody announces less than is there; that nothing more comes may be said with a part of nothing."""
    id = begin(house)
    add(house, id, 0, b"abc")
    for wrong in (0, 2):
        with pytest.raises(InvalidInput):
            add(house, id, 3, b"", size=wrong)
    with pytest.raises(LimitExceeded):
        add(house, id, 3, b"d", size=3)
    assert add(house, id, 3, b"", size=3) == 3
    empty = begin(house)
    assert add(house, empty, 0, b"", size=0) == 0
    assert [house.do("finish_upload", upload=one).size for one in (id, empty)] == [3, 0]


def test_an_upload_of_nothing_is_a_content_of_nothing(house: Storehouse) -> None:
    """No bytes are bytes, too; a part of none counts for nothing and costs nothing."""
    id = begin(house, size=0)
    assert add(house, id, 0, b"") == 0
    assert parts(house) == []
    assert house.do("finish_upload", upload=id).size == 0


def test_one_goes_on_only_where_the_upload_stands(house: Storehouse) -> None:
    """A part at another offset is refused, says where it stands, and leaves nothing."""
    id = begin(house, size=10)
    add(house, id, 0, b"12345")
    for offset in (0, 4, 6, 10, 11):
        with pytest.raises(WrongOffset) as refused:
            add(house, id, offset, b"x")
        assert refused.value.details["actual"] == 5
    assert len(parts(house)) == 1


def test_of_two_writers_at_one_offset_one_wins(house: Storehouse) -> None:
    """Parts that come at once for the same place: one counts, the others are told; the content is one of them."""
    id = begin(house)

    def write(number: int) -> str:
        try:
            add(house, id, 0, b"%d" % number * 10)
        except WrongOffset:
            return "late"
        return str(number)

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(write, range(5)))
    (winner,) = (one for one in answers if one != "late")
    house.do("finish_upload", upload=id)
    made = house.do("attach", staged=id)
    assert house.read(made.ref) == winner.encode() * 10
    house.collect()
    house.check(made)


def test_of_a_part_that_is_cut_what_came_is_kept(house: Storehouse) -> None:
    """Whoever loses the connection goes on behind the last byte that arrived; the error is told all the same."""
    id = begin(house, size=8)
    for error in (OSError("gone"), TimeoutError("slow"), RuntimeError("a bug in the sender's stream")):
        stands = house.do("get_upload", upload=id).offset
        with pytest.raises(type(error)):
            add(house, id, stands, Cut(b"ab", error))
        assert house.do("get_upload", upload=id).offset == stands + 2
    add(house, id, 6, b"cd")
    house.do("finish_upload", upload=id)
    assert house.read(house.do("attach", staged=id).ref) == b"abababcd"


def test_a_part_with_a_checksum_is_kept_whole_or_not_at_all(house: Storehouse) -> None:
    """Another digest, or a cut, and nothing of the part counts."""
    id = begin(house, size=8)
    for content in (b"abcD", b"abc", b"", Cut(b"ab", OSError("gone"))):
        with pytest.raises(ContentMismatch):
            add(house, id, 0, content, checksum=checksum(b"abcd"))
    assert house.do("get_upload", upload=id).offset == 0
    assert parts(house) == []


NO_CHECKSUM = ["", "sha256", "sha256 ", "sha256 !!!", "md5 1B2M2Y8AsgTpgAmY7PhCfg==", "crc32 AAAAAA==", "sha256 AAAA"]


@pytest.mark.parametrize("text", [*NO_CHECKSUM, "sha1 " + "A" * 190])
def test_what_is_no_checksum_is_refused(house: Storehouse, text: str) -> None:
    """A checksum names an algorithm we have, and holds a digest of its length."""
    id = begin(house)
    with pytest.raises(InvalidInput):
        add(house, id, 0, b"abc", checksum=text)


def test_no_more_comes_than_was_announced(house: Storehouse) -> None:
    """The size is a limit while the bytes come, and so is the slot's; the number of parts is bounded."""
    id = begin(house, size=5)
    add(house, id, 0, b"123")
    with pytest.raises(LimitExceeded):
        add(house, id, 3, b"456")
    assert house.do("get_upload", upload=id).offset == 3
    with pytest.raises(LimitExceeded):
        begin(house, slot="banner", size=(40 << 20) + 1)
    with pytest.raises(LimitExceeded):
        add(house, begin(house, slot="banner"), 0, b"x", size=(40 << 20) + 1)


def test_a_slot_is_a_limit_for_all_parts_together(database_url: str) -> None:
    """An upload of unknown size stops at what the slot takes."""
    small = attachments.Slot("small", largest=10)
    house = Storehouse(database_url, "memory://", slots=[small])
    id = begin(house, slot="small")
    add(house, id, 0, b"12345678")
    with pytest.raises(LimitExceeded):
        add(house, id, 8, b"90a")
    assert add(house, id, 8, b"90") == 10
    house.close()


def test_parts_without_end_are_refused(house: Storehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody fills the table with parts of one byte."""
    monkeypatch.setattr("mallcore.attachments.operations.uploads.MOST_PARTS", 3)
    id = begin(house)
    for number in range(3):
        add(house, id, number, b"x")
    with pytest.raises(LimitExceeded):
        add(house, id, 3, b"x")
    assert uploading.MOST_PARTS == 10_000
    assert house.do("finish_upload", upload=id).size == 3


def test_content_that_is_not_what_was_announced_ends_the_upload(house: Storehouse) -> None:
    """The digest is computed from what lies there; another one, or a type the slot does not take, is refused."""
    wrong = begin(house, sha256=hashlib.sha256(b"other").hexdigest())
    add(house, wrong, 0, b"content")
    with pytest.raises(ContentMismatch):
        house.do("finish_upload", upload=wrong)
    script = begin(house, slot="banner", file_name="a.png", declared_type="image/png")
    add(house, script, 0, b"<svg><script>alert(1)</script></svg>")
    with pytest.raises(ContentRefused):
        house.do("finish_upload", upload=script)
    for id in (wrong, script):
        for name in ("finish_upload", "get_upload"):
            with pytest.raises(UploadClosed):
                house.do(name, upload=id)
    house.collect()
    assert house.keys() == []


def test_an_upload_that_is_finished_takes_no_more(house: Storehouse) -> None:
    """Nor does one that was attached, or ended."""
    finished, ended = begin(house), begin(house)
    for id in (finished, ended):
        add(house, id, 0, b"abc")
    house.do("finish_upload", upload=finished)
    with pytest.raises(UploadClosed):
        add(house, finished, 3, b"d")
    house.do("attach", staged=finished)
    house.do("end_upload", upload=ended)
    for id in (finished, ended):
        for name in ("finish_upload", "get_upload", "end_upload"):
            with pytest.raises(UploadClosed):
                house.do(name, upload=id)
        with pytest.raises(UploadClosed):
            house.do("attach", staged=id)
    house.collect()
    assert house.contents() == [b"abc"]


def test_what_is_not_finished_is_not_attached(house: Storehouse) -> None:
    """Only `finish_upload` makes parts a content."""
    id = begin(house, sha256=hashlib.sha256(b"abc").hexdigest(), size=3)
    house.put(b"abc")  # its content is there already
    add(house, id, 0, b"abc")
    with pytest.raises(UploadClosed):
        house.do("attach", staged=id)
    house.do("finish_upload", upload=id)
    house.do("attach", staged=id)


def test_an_upload_waits_a_day_for_its_next_part(house: Storehouse) -> None:
    """Every part gives it another day; then it is over, and what came is collected."""
    id = begin(house)
    for number in range(3):
        house.clock.move(hours=23)
        add(house, id, number, b"x")
    house.clock.move(hours=25)
    for call in (
        lambda: add(house, id, 3, b"x"),
        lambda: house.do("get_upload", upload=id),
        lambda: house.do("finish_upload", upload=id),
    ):
        with pytest.raises(UploadClosed):
            call()
    house.collect()
    assert house.keys() == []
    house.clock.move(days=30)
    house.collect()
    house.collect()
    with pytest.raises(UnknownUpload):
        house.do("get_upload", upload=id)
    assert house.rows("mall_upload") == house.rows("mall_upload_part") == []


# --- a store that fails


class Failing:
    """A store that fails at a call: before it, or after it was done, as when the answer is lost."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.before: MallError | None = None
        self.after: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_new(self, key: str, content: BinaryIO, **given: Any) -> Any:
        before, self.before = self.before, None
        if before is not None:
            raise before
        found = self._store.put_new(key, content, **given)
        after, self.after = self.after, None
        if after is not None:
            raise after
        return found


@pytest.fixture
def failing(house: Storehouse) -> Failing:
    """The house's store, made to fail."""
    found = Failing(house.mall.stores["main"])
    house.mall.stores._stores["main"] = found
    return found


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_part_that_could_not_be_kept_is_brought_again(house: Storehouse, failing: Failing, when: str) -> None:
    """A store that fails before or after it kept a part changes nothing: one goes on where one stood."""
    id = begin(house)
    add(house, id, 0, b"abc")
    error = StoreFull(store="memory://", reason="full") if when == "before" else KeyboardInterrupt()
    setattr(failing, when, error)
    with pytest.raises(type(error)):
        add(house, id, 3, b"def")
    assert add(house, id, 3, b"def") == 6
    house.do("finish_upload", upload=id)
    made = house.do("attach", staged=id)
    assert house.read(made.ref) == b"abcdef"
    house.collect()
    house.check(made)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_upload_that_could_not_be_finished_is_finished_again(house: Storehouse, failing: Failing, when: str) -> None:
    """Between the claim and the object, or behind it: what arrived is still there, and finishing goes on."""
    id = begin(house)
    add(house, id, 0, b"abc")
    setattr(failing, when, StoreUnavailable(store="memory://", reason="no answer"))
    with pytest.raises(StoreUnavailable):
        house.do("finish_upload", upload=id)
    with pytest.raises(UploadClosed):
        house.do("attach", staged=id)
    with pytest.raises(UploadClosed):
        add(house, id, 3, b"d")
    assert house.do("finish_upload", upload=id).size == 3
    made = house.do("attach", staged=id)
    house.collect()
    house.check(made, contents={made.ref: b"abc"})


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_upload_that_is_left_in_the_midst_of_finishing_leaves_nothing(
    house: Storehouse, failing: Failing, when: str
) -> None:
    """Its parts and its content are collected when its lease has ended."""
    id = begin(house)
    add(house, id, 0, b"abc")
    setattr(failing, when, StoreUnavailable(store="memory://", reason="no answer"))
    with pytest.raises(StoreUnavailable):
        house.do("finish_upload", upload=id)
    house.clock.move(hours=25)
    house.collect()
    assert house.keys() == []
    house.check()


def test_two_who_finish_get_the_same(house: Storehouse) -> None:
    """Finishing is harmless to do twice, also at once."""
    id = begin(house)
    add(house, id, 0, b"abc")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: house.do("finish_upload", upload=id), range(4)))
    assert {(one.id, one.digest) for one in found} == {(id, hashlib.sha256(b"abc").hexdigest())}
    made = house.do("attach", staged=id)
    house.collect()
    house.check(made)


def test_a_store_that_holds_something_else_is_believed_not(house: Storehouse, failing: Failing) -> None:
    """A key that is taken is no success for a part: keys are drawn, so somebody meddles."""
    id = begin(house)
    failing.before = ObjectExists(key="u/x")
    with pytest.raises(ObjectExists):
        add(house, id, 0, b"abc")
    assert house.do("get_upload", upload=id).offset == 0


def test_who_finishes_late_gets_what_there_is(house: Storehouse, failing: Failing) -> None:
    """Its parts may have been collected while somebody else was faster."""
    id = begin(house)
    add(house, id, 0, b"abc")
    opens = failing._store.open
    staged: list[Any] = []

    def collected_first(key: str, *given: Any) -> Any:
        if not staged:
            staged.append(None)
            staged[0] = house.do("finish_upload", upload=id)
            house.collect()
        return opens(key, *given)

    failing.open = collected_first  # type: ignore[attr-defined]
    assert house.do("finish_upload", upload=id) == staged[0]


# --- who, and when


def test_an_upload_is_its_owners_affair(house: Storehouse) -> None:
    """Who may not write there can neither go on with an upload nor learn that there is one."""
    ada = Principal.user("ada")
    with house.mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="toys", name="Toys")
        access.grant(ctx, principal=ada.ref, role="owner", scope="channel", channel="toys")
    id = begin(house)
    for given in ({"upload": id}, {"upload": f"upl_{0:032x}"}):
        for name in ("get_upload", "finish_upload", "end_upload"):
            with house.mall.begin(ada) as ctx, pytest.raises(Denied):
                getattr(attachments, name)(ctx, **given)
    with house.mall.begin(ada) as ctx:
        mine = attachments.begin_upload(ctx, owner="channel:toys", file_name="a.txt")
        assert attachments.append(ctx, upload=mine.id, offset=0, content=b"all in one block").offset == 16
        staged = attachments.finish_upload(ctx, upload=mine.id)
        assert attachments.attach(ctx, staged=staged).n == 1


def test_bytes_are_not_moved_while_a_unit_of_work_writes(house: Storehouse) -> None:
    """No step of an upload runs inside somebody's transaction."""
    id = begin(house)
    with house.mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
        for name, given in {
            "begin_upload": {"owner": OWNER, "file_name": "a.txt"},
            "append": {"upload": id, "offset": 0, "content": b"x"},
            "finish_upload": {"upload": id},
            "end_upload": {"upload": id},
        }.items():
            with pytest.raises(StageFirst):
                getattr(attachments, name)(ctx, **given)


def test_what_can_not_begin_does_not(house: Storehouse) -> None:
    """Slot, name, facts and size are looked at first."""
    for given, error in (
        ({"slot": "nothing"}, UnknownSlot),
        ({"file_name": "../a"}, InvalidInput),
        ({"meta": {"a": float("nan")}}, InvalidInput),
        ({"size": -1}, InvalidInput),
        ({"size": 1 << 60}, InvalidInput),
        ({"sha256": "abc"}, InvalidInput),
    ):
        with pytest.raises(error):
            begin(house, **given)
    assert house.rows("mall_upload") == []


def test_every_step_of_an_upload_is_on_record(house: Storehouse) -> None:
    """Begun, continued, finished; and what was refused or ended, with the reason."""
    id, ended = begin(house), begin(house)
    add(house, id, 0, b"abc")
    house.do("finish_upload", upload=id)
    house.do("end_upload", upload=ended)
    with house.mall.begin(ME) as ctx:
        found = {one: [r.event for r in audit.list_records(ctx, subject=one).items] for one in (id, ended)}
    names = ["attachments.upload_finished", "attachments.upload_continued", "attachments.upload_begun"]
    assert found == {id: names, ended: ["attachments.upload_ended", "attachments.upload_begun"]}
