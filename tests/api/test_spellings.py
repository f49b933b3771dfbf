"""What is sent counts as it was sent: links in another spelling are refused, and bodies say their type."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlencode

import pytest

from mallcore import Mall, Principal, attachments, audit
from mallcore.api import Dispatch, Request, Response
from tests.adapters.faces import authenticate
from tests.api.conftest import Asking

ME = Principal.system("test")


def ask(mall: Mall, sent: str) -> Response:
    """What a server that decodes paths hands on."""
    return Dispatch(mall, authenticate).run(Request("GET", unquote(sent), raw_path="/api" + sent, base="/api"))


@pytest.mark.parametrize(("plain", "spelt"), [(".", "%2E"), (".", "%252E"), (".", "%2F"), ("/links/", "/links/%20")])
def test_a_link_in_another_spelling_is_refused_on_record(mall: Mall, plain: str, spelt: str) -> None:
    """Encoded once or twice, it is forged: 403, and the log says so; as it was made, it is good."""
    with mall.begin(ME) as ctx:
        made = attachments.upload_file(ctx, file=b"hello", file_name="a.txt", owner="channel:books", slot="file")
    with mall.begin(ME) as ctx:
        token = attachments.link(ctx, version=made.ref, to="anyone").token
    good = ask(mall, f"/links/{token}")
    assert good.status == 200
    assert good.chunks is not None
    good.chunks.close()
    assert ask(mall, f"/links/{token}".replace(plain, spelt, 1)).status == 403
    with mall.begin(ME) as ctx:
        (refused,) = audit.list_records(ctx, operation="attachments.deliver_link", outcome="denied").items
    assert refused.principal == "anonymous:*"


def test_a_public_file_has_one_address(mall: Mall) -> None:
    """In another spelling there is no such file: a cache must not be filled with copies of it."""
    with mall.begin(ME) as ctx:
        made = attachments.upload_file(ctx, file=PICTURE, file_name="a.gif", owner="channel:books", slot="banner")
    with mall.begin(ME) as ctx:
        path = attachments.public_url(ctx, version=made.ref).url
    good = ask(mall, path)
    assert good.status == 200
    assert good.chunks is not None
    good.chunks.close()
    assert ask(mall, path.replace("a.gif", "a%2Egif")).status == 404


PICTURE = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")


def test_a_body_may_say_its_type(mall: Mall) -> None:
    """What is sent as a picture is declared so; a parameter counts before the header; bytes say nothing."""
    ask = Asking(Dispatch(mall, authenticate))
    given = {"owner": "channel:books", "file_name": "a.gif", "slot": "file"}

    def declared(content_type: str, **more: str) -> str | None:
        query = urlencode({**given, **more})
        response = ask("POST", "/attachments", PICTURE, query=query, content_type=content_type)
        assert response.status == 201, response.body
        found: str | None = json.loads(response.body)["declared_type"]
        return found

    assert declared("image/gif") == "image/gif"
    assert declared("image/gif; charset=x", declared_type="image/png") == "image/png"
    assert declared("application/octet-stream") is None
    untold = "application/x-www-form-urlencoded"
    assert ask("POST", "/attachments", PICTURE, query=urlencode(given), content_type=untold).status == 415
