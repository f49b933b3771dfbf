"""Every face of a mall tells the same stories."""

from collections.abc import Callable

import pytest

from mallcore import Context, Mall, Principal, access, audit
from mallcore.api.releases import OURS
from tests.adapters.faces import OPENERS, WEB, Face, Opened
from tests.adapters.scenarios import SCENARIOS, paths, refused

OWNER = Principal.system("tests")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("kind", OPENERS)
def test_the_story_is_the_same(kind: str, scenario: Callable[[Face], None], mall: Mall) -> None:
    """Python, ASGI, WSGI, FastAPI and Flask behave alike."""
    with Opened(kind, mall) as opened:
        scenario(opened.face(OWNER))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("version", OURS.names[1:])
@pytest.mark.parametrize("kind", ["fastapi", pytest.param("flask", marks=pytest.mark.proof)])
def test_the_story_is_the_same_in_every_version(
    kind: str, version: str, scenario: Callable[[Face], None], mall: Mall
) -> None:
    """A client that was written for an older version goes on as before; the newest is what the others tell."""
    with Opened(kind, mall) as opened:
        scenario(opened.face(OWNER, version))


@pytest.mark.parametrize("kind", OPENERS)
def test_access_is_the_same(kind: str, mall: Mall) -> None:
    """Who holds no permission is refused, on record; who was given one may, there and nowhere else."""
    with Opened(kind, mall) as opened:
        owner, ada, nobody = (opened.face(one) for one in (OWNER, Principal.user("ada"), Principal.anonymous()))
        owner.create_channel("books", "Books")
        owner.create_channel("toys", "Toys")
        with refused("denied"):
            ada.tree("books")
        with refused("unauthenticated"):
            nobody.tree("books")
        with mall.begin(OWNER) as ctx:
            access.grant(ctx, principal="user:ada", role="editor", scope="channel", channel="books")
        ada.create_node("books", "Fiction", kind="section")
        assert paths(ada.tree("books")) == ["fiction"]
        with refused("denied"):
            ada.tree("toys")
        with mall.begin(OWNER) as ctx:
            denials = denied(ctx)
        assert denials == ["user:ada", "anonymous:*", "user:ada"]


@pytest.mark.parametrize("kind", WEB)
def test_bad_credentials_are_refused(kind: str, mall: Mall) -> None:
    """`authenticate` may refuse by raising: 401, and a challenge that says what to send."""
    with Opened(kind, mall) as opened:
        response = opened.send("GET", "/channels", {"authorization": "Bearer nonsense"})
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")


def denied(ctx: Context) -> list[str]:
    """Who was refused, in order."""
    records = audit.list_records(ctx, outcome="denied").items
    return [record.principal for record in reversed(records)]
