"""Files sent with a ticket of the mall, as a browser sends them: by PUT, or by an HTML form."""

import hashlib
import json

import httpx
import pytest

from mallcore import Mall, Principal, attachments
from tests.adapters.faces import WEB, Opened
from tests.adapters.test_files_over_the_wire import BOUNDARY, PIECE, form
from tests.adapters.test_files_over_the_wire import books as books

OWNER = Principal.system("tests")
NOBODY = {"content-type": "image/png"}
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
CONTENT = b"\x89PNG\r\n\x1a\n" + PIECE * 10


def ticket(mall: Mall, **more: object) -> attachments.Ticket:
    """A ticket for the content."""
    given = {"owner": "channel:books", "file_name": "a.png", "size": len(CONTENT), "declared_type": "image/png"}
    with mall.begin(OWNER) as ctx:
        return attachments.begin_direct(ctx, **{**given, **more})  # type: ignore[arg-type]


def sent(opened: Opened, one: attachments.Ticket, headers: dict[str, str], body: bytes) -> httpx.Response:
    """What a bearer of the ticket is answered."""
    path = one.url[one.url.index("/uploads/") :]
    return opened.send(one.method, path, {**one.headers, **headers}, body)


def attached(mall: Mall, upload: str) -> attachments.Version:
    with mall.begin(OWNER) as ctx:
        attachments.finish_direct(ctx, upload=upload)
    with mall.begin(OWNER) as ctx:
        return attachments.attach(ctx, staged=upload)


@pytest.mark.parametrize("kind", WEB)
def test_a_bearer_puts_a_file(kind: str, books: Mall) -> None:
    """Who has the ticket needs no other credentials, sends the file once, and no other file."""
    one = ticket(books)
    with Opened(kind, books) as opened:
        assert sent(opened, one, NOBODY, CONTENT[:-1]).status_code in (400, 422)
        assert sent(opened, one, {"content-type": "text/html"}, CONTENT).status_code == 422
        done = sent(opened, one, NOBODY, CONTENT)
        assert (done.status_code, done.content) == (204, b""), done.text
        assert sent(opened, one, NOBODY, CONTENT).json()["code"] == "link-refused"
    assert attached(books, one.upload).digest == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("kind", WEB)
def test_a_form_posts_a_file(kind: str, books: Mall) -> None:
    """A form's file is read while it comes, so it is the last field; too much of it, or too little, is refused."""
    one = ticket(books, form=True)
    file = ('name="file"; filename="a.png"\r\nContent-Type: image/png', CONTENT)
    with Opened(kind, books) as opened:
        assert one.method == "POST"
        for wrong in (
            form(file)[:-200],
            form(('name="file"; filename="a"\r\nContent-Type: image/png', CONTENT + b"x")),
        ):
            refused = sent(opened, one, FORM, wrong)
            assert refused.status_code in (400, 422), refused.text
        done = sent(opened, one, FORM, form(file))
        assert done.status_code == 204, done.text
    assert attached(books, one.upload).digest == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("kind", WEB)
def test_a_forged_ticket_is_refused_unread(kind: str, books: Mall) -> None:
    """Without a genuine ticket nothing of a form's file is looked at: it is refused, and what follows is not parsed."""
    one = ticket(books, form=True)
    path = one.url[one.url.index("/uploads/") :].replace("ticket=m1", "ticket=m2")
    body = form(('name="file"; filename="a"', CONTENT * 2)).removesuffix(b"--\r\n") + b"no form"
    with Opened(kind, books) as opened:
        refused = opened.send("POST", path, FORM, body)
        assert (refused.status_code, json.loads(refused.content)["code"]) == (403, "link-refused")
