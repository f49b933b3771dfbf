"""Direct uploads: a ticket brings one content straight to the store, once, in time, and just what was announced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import httpx
import pytest

from mallcore import Principal, access, attachments, audit, structure
from mallcore.attachments.rules import tokens
from mallcore.errors import (
    ContentMismatch,
    ContentRefused,
    Denied,
    InvalidInput,
    LimitExceeded,
    LinkRefused,
    MallError,
    StageFirst,
    UnknownUpload,
    UploadClosed,
    WrongOffset,
)
from mallcore.kernel.keys import Keyring
from tests.attachments.pictures import png
from tests.attachments.storehouse import ME, OWNER, Storehouse

BROWSER = Principal.anonymous()
TEXT = b"a review of a book"


@pytest.fixture
def stored(database_url: str, objects_url: str) -> Iterator[Storehouse]:
    """A mall on every database and every kind of store."""
    found = Storehouse(database_url, objects_url)
    yield found
    found.close()


def begin(house: Storehouse, content: bytes = TEXT, **given: Any) -> attachments.Ticket:
    """A ticket for a content."""
    named = {"owner": OWNER, "file_name": "a.txt", "size": len(content)}
    return house.do("begin_direct", **{**named, **given})


def send(house: Storehouse, ticket: attachments.Ticket, content: Any = TEXT, **given: Any) -> None:
    """Do as a browser does with a ticket: the request goes to the store, or to the mall."""
    if ticket.url.startswith("/"):
        return receive(house, ticket, content, method=ticket.method, **given)
    body = content if isinstance(content, bytes) else content.read()
    if ticket.method == "POST":
        answer = httpx.post(ticket.url, data=ticket.fields, files={"file": ("a.txt", body)})
    else:
        answer = httpx.put(ticket.url, content=body, headers=ticket.headers)
    answer.raise_for_status()
    return None


def receive(house: Storehouse, ticket: attachments.Ticket, content: Any = TEXT, **given: Any) -> None:
    """Come to the mall with a ticket."""
    token = given.pop("token", ticket.url.partition("?ticket=")[2])
    with house.mall.begin(BROWSER) as ctx:
        attachments.receive_direct(ctx, **{"upload": ticket.upload, "ticket": token, "content": content, **given})


def finish(house: Storehouse, ticket: attachments.Ticket) -> attachments.Staged:
    """Finish an upload."""
    return house.do("finish_direct", upload=ticket.upload)


# --- the same on every store


@pytest.mark.parametrize("digest", [True, False], ids=["with digest", "without"])
def test_a_content_goes_straight_to_the_store(stored: Storehouse, digest: bool) -> None:
    """Ticket, request, finish, attach: the same on every store; what the ticket led to is collected."""
    sha256 = hashlib.sha256(TEXT).hexdigest() if digest else None
    ticket = begin(stored, sha256=sha256, declared_type="text/plain", meta={"stars": 5})
    with pytest.raises(WrongOffset):
        finish(stored, ticket)
    send(stored, ticket)
    staged = finish(stored, ticket)
    assert finish(stored, ticket) == staged
    assert (staged.size, staged.digest) == (len(TEXT), hashlib.sha256(TEXT).hexdigest())
    made = stored.do("attach", staged=ticket.upload)
    assert (made.declared_type, made.meta) == ("text/plain", {"stars": 5})
    stored.collect()
    stored.check(made, contents={made.ref: TEXT})


def test_a_form_does_the_same(stored: Storehouse) -> None:
    """Where the store takes forms it gets one, else the mall."""
    ticket = begin(stored, form=True)
    assert ticket.method == "POST"
    send(stored, ticket)
    finish(stored, ticket)
    made = stored.do("attach", staged=ticket.upload)
    stored.collect()
    stored.check(made, contents={made.ref: TEXT})


def test_a_ticket_is_good_once(stored: Storehouse) -> None:
    """What has arrived is not replaced, neither before nor after it was finished."""
    ticket = begin(stored)
    send(stored, ticket)
    for _ in range(2):
        with pytest.raises((LinkRefused, httpx.HTTPStatusError)):
            send(stored, ticket, b"x" * len(TEXT))
        assert finish(stored, ticket).digest == hashlib.sha256(TEXT).hexdigest()


def test_a_ticket_is_for_one_size(stored: Storehouse) -> None:
    """More or less than was announced is refused when it comes, or at the latest when it is looked at."""
    for wrong in (TEXT + b"!", TEXT[:-1], b""):
        ticket = begin(stored)
        with pytest.raises((LimitExceeded, ContentMismatch, httpx.HTTPStatusError, httpx.RequestError, WrongOffset)):  # noqa: PT012
            ticket = ticket.model_copy(update={"headers": {**ticket.headers, "content-length": str(len(wrong))}})
            send(stored, ticket, wrong)
            finish(stored, ticket)
        with pytest.raises((UploadClosed, WrongOffset)):
            finish(stored, ticket)


def test_a_ticket_is_for_one_digest(stored: Storehouse) -> None:
    """A content of the same size with another SHA-256 than announced is never taken."""
    ticket = begin(stored, sha256=hashlib.sha256(TEXT).hexdigest())
    with pytest.raises((ContentMismatch, httpx.HTTPStatusError)):  # noqa: PT012
        send(stored, ticket, b"x" * len(TEXT))
        finish(stored, ticket)
    with pytest.raises((UploadClosed, WrongOffset)):
        finish(stored, ticket)


# --- finishing


def test_what_arrived_is_looked_at(house: Storehouse) -> None:
    """Type and pixels are those of the bytes, whatever the sender said; what the slot refuses ends the upload."""
    script = b"<html><script>alert(1)</script></html>"
    ticket = begin(house, script, slot="banner", declared_type="image/png", file_name="a.png")
    send(house, ticket, script)
    with pytest.raises(ContentRefused):
        finish(house, ticket)
    with pytest.raises(UploadClosed):
        finish(house, ticket)
    picture = png(30, 20)
    good = begin(house, picture, slot="banner", declared_type="image/gif", file_name="b.png")
    send(house, good, picture)
    assert finish(house, good).detected_type == "image/png"
    made = house.do("attach", staged=good.upload)
    assert (made.width, made.height, made.declared_type) == (30, 20, "image/gif")
    house.collect()
    house.check(made)


def test_what_is_not_finished_is_not_attached(house: Storehouse) -> None:
    """Only what was looked at becomes a version."""
    ticket = begin(house)
    send(house, ticket)
    with pytest.raises(UploadClosed):
        house.do("attach", staged=ticket.upload)


def test_an_upload_nobody_finishes_is_collected(house: Storehouse) -> None:
    """An hour after its ticket, what arrived goes; whoever comes too late is told."""
    unused, sent = begin(house), begin(house)
    send(house, sent)
    house.clock.move(hours=1, seconds=901)
    for ticket in (unused, sent):
        with pytest.raises(UploadClosed):
            finish(house, ticket)
    house.collect()
    assert house.keys() == []


def test_an_upload_can_be_ended(house: Storehouse) -> None:
    """Its ticket is worth nothing then."""
    ticket = begin(house)
    house.do("end_upload", upload=ticket.upload)
    with pytest.raises(LinkRefused) as refused:
        send(house, ticket)
    assert refused.value.details["reason"] == "gone"


def test_kinds_of_uploads_are_not_mixed(house: Storehouse) -> None:
    """A direct upload takes no parts, and a resumable one no ticket."""
    ticket = begin(house)
    other = house.do("begin_upload", owner=OWNER, file_name="a.txt")
    for name, given in (
        ("append", {"upload": ticket.upload, "offset": 0, "content": b"x"}),
        ("finish_upload", {"upload": ticket.upload}),
        ("finish_direct", {"upload": other.id}),
        ("finish_direct", {"upload": f"{other.id}.p"}),
    ):
        with pytest.raises(UnknownUpload):
            house.do(name, **given)


def test_contents_that_are_there_already_are_not_written_again(house: Storehouse) -> None:
    """A direct upload shares its object with all equal contents of the unit."""
    made = house.put(TEXT)
    ticket = begin(house)
    send(house, ticket)
    finish(house, ticket)
    again = house.do("attach", staged=ticket.upload)
    house.collect()
    assert len(house.keys()) == 1
    house.check(made, again)


# --- the mall's own tickets


def reason(house: Storehouse, ticket: attachments.Ticket, content: Any = TEXT, **given: Any) -> str:
    """Why a bearer is turned away."""
    with pytest.raises(LinkRefused) as refused:
        receive(house, ticket, content, **given)
    return str(refused.value.details["reason"])


class Unread:
    """A stream that must not be touched."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("it was read")


def token_of(ticket: attachments.Ticket) -> str:
    return ticket.url.partition("?ticket=")[2]


def test_a_ticket_of_somebody_elses_making_is_refused(house: Storehouse) -> None:
    """Every bit of a ticket counts; not a byte of the content is read before it holds."""
    ticket = begin(house)
    token = token_of(ticket)
    body, mac = token.rsplit(".", 1)
    wrong = {
        "": "forged",
        "m1": "forged",
        f"{body}.": "forged",
        f"{body}.{mac[::-1]}": "forged",
        f"{body[:-1]}{'A' if body[-1] != 'A' else 'B'}.{mac}": "forged",
        f"{token}=": "forged",
        token.replace("m1.1.", "m1.01."): "forged",
        token.replace("m1.1.", "m1.9."): "unknown-key",
        token.replace("m1.", "m2."): "forged",
        token + "\u00e4": "forged",
    }
    for text, expected in wrong.items():
        assert (text, reason(house, ticket, Unread(), token=text)) == (text, expected)
    with pytest.raises(InvalidInput):
        receive(house, ticket, Unread(), token="x" * 3000)
    assert house.keys() == []


def test_a_ticket_is_for_its_upload_method_and_time(house: Storehouse) -> None:
    """It is refused for another upload, by another method, too early and too late, with a minute of leeway."""
    ticket, other = begin(house, seconds=100), begin(house)
    assert reason(house, other, Unread(), token=token_of(ticket)) == "foreign"
    assert reason(house, ticket, Unread(), method="POST") == "wrong-method"
    house.clock.move(seconds=-70)
    assert reason(house, ticket, Unread()) == "not-yet-valid"
    house.clock.move(seconds=240)
    assert reason(house, ticket, Unread()) == "expired"
    house.clock.move(seconds=-20)
    receive(house, ticket)


def test_a_ticket_allows_only_what_it_was_made_for(house: Storehouse) -> None:
    """A genuine token with other terms, or for another purpose, is refused."""
    ticket = begin(house)
    key = house.mall.services.ports[Keyring].current("links")
    claims = tokens.opened(token_of(ticket), lambda _: key.derive("direct"))
    for change, expected in (({"recipe": "0" * 64}, "foreign"), ({"purpose": "content"}, "wrong-purpose")):
        token = tokens.signed(claims._replace(**change), key.number, key.derive("direct"))
        assert reason(house, ticket, Unread(), token=token) == expected
    link = tokens.signed(claims, key.number, key.derive("links"))
    assert reason(house, ticket, Unread(), token=link) == "forged"


def test_a_revoked_key_ends_its_tickets(house: Storehouse) -> None:
    """Rotation keeps them; revocation does not."""
    first, second = begin(house), begin(house)
    with house.mall.begin(ME) as ctx:
        access.rotate_key(ctx, purpose="links")
    receive(house, first)
    with house.mall.begin(ME) as ctx:
        access.revoke_key(ctx, purpose="links", number=1)
    assert reason(house, second, Unread()) == "unknown-key"


def test_a_failed_try_does_not_use_a_ticket_up(house: Storehouse) -> None:
    """What is cut, too short, too long or of another type leaves nothing, and may be sent again."""
    ticket = begin(house, declared_type="text/plain")

    class Cut(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            piece = super().read(size)
            if not piece:
                raise OSError("gone")
            return piece

    for content, given, error in (
        (TEXT[:3], {}, ContentMismatch),
        (Cut(TEXT[:3]), {}, ContentMismatch),
        (TEXT + b"!", {}, LimitExceeded),
        (b"", {}, ContentMismatch),
        (TEXT, {"content_type": "text/html"}, ContentMismatch),
    ):
        with pytest.raises(error):
            receive(house, ticket, content, **given)
    assert house.keys() == []
    receive(house, ticket, content_type="text/plain")
    assert finish(house, ticket).size == len(TEXT)


def test_of_many_who_use_a_ticket_at_once_one_does(house: Storehouse) -> None:
    """The first whose bytes are there has used it."""
    ticket = begin(house)

    def come(number: int) -> str:
        try:
            receive(house, ticket, b"%d" % number * len(TEXT))
        except LinkRefused as refused:
            return str(refused.details["reason"])
        return str(number)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(come, range(4)))
    (winner,) = (one for one in answers if one != "used")
    finish(house, ticket)
    assert house.read(house.do("attach", staged=ticket.upload).ref) == winner.encode() * len(TEXT)


def test_every_ticket_and_every_bearer_is_on_record(house: Storehouse) -> None:
    """Made, used, refused with the reason, finished: in the log before anybody can act on it."""
    ticket = begin(house)
    reason(house, ticket, token=token_of(ticket) + "x")
    send(house, ticket)
    reason(house, ticket)
    finish(house, ticket)
    with house.mall.begin(ME) as ctx:
        records = audit.list_records(ctx, limit=20).items
    found = [(one.event.partition(".")[2], one.outcome) for one in reversed(records) if "attach" in one.event]
    assert found == [
        ("upload_begun", "ok"),
        ("ticket_made", "ok"),
        ("link_refused", "denied"),
        ("ticket_used", "ok"),
        ("link_refused", "denied"),
        ("upload_finished", "ok"),
    ]
    assert all(token_of(ticket) not in str(one) for one in records)


def test_a_ticket_is_not_shown_by_accident(house: Storehouse) -> None:
    """Neither its repr nor an error holds what lets somebody in."""
    ticket = begin(house)
    assert token_of(ticket) not in repr(ticket)
    with pytest.raises(MallError) as refused:
        receive(house, ticket, TEXT + b"!")
    assert token_of(ticket) not in f"{refused.value!r} {refused.value}"


def test_a_ticket_needs_the_right_to_write(house: Storehouse) -> None:
    """Who begins and who finishes needs it; who comes with the ticket needs only that."""
    ada = Principal.user("ada")
    with house.mall.begin(ada) as ctx, pytest.raises(Denied):
        attachments.begin_direct(ctx, owner=OWNER, file_name="a.txt", size=3)
    ticket = begin(house)
    send(house, ticket)
    with house.mall.begin(ada) as ctx, pytest.raises(Denied):
        attachments.finish_direct(ctx, upload=ticket.upload)
    assert finish(house, ticket).size == len(TEXT)


def test_bytes_are_not_moved_while_a_unit_of_work_writes(house: Storehouse) -> None:
    """No step runs inside somebody's transaction."""
    ticket = begin(house)
    with house.mall.begin(ME) as ctx:
        structure.create_category(ctx, channel="books", name="Crime")
        for name, given in {
            "begin_direct": {"owner": OWNER, "file_name": "a.txt", "size": 3},
            "receive_direct": {"upload": ticket.upload, "ticket": token_of(ticket), "content": Unread()},
        }.items():
            with pytest.raises(StageFirst):
                getattr(attachments, name)(ctx, **given)


def test_what_can_not_begin_does_not(house: Storehouse) -> None:
    """Size, time, name and slot are looked at before there is a ticket."""
    large = {"slot": "banner", "size": 41 << 20}
    for given in ({"size": -1}, {"seconds": 0}, {"seconds": 10**6}, {"file_name": "a/b"}, large):
        with pytest.raises((InvalidInput, LimitExceeded)):
            begin(house, **given)
    assert house.rows("mall_upload") == []
