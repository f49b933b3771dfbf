"""What changed with 2026-11-01: room for API keys, and values that are either there or `null`."""

from typing import Annotated

from pydantic import Field

from mallcore import attachments, structure
from mallcore.api.versions import Change, field, fields, operation

Dimensions = Annotated[str, Field(pattern=r"^(-?[0-9]{1,18})?x(-?[0-9]{1,18})?$")]


def in_pixels(text: str | None) -> tuple[int | None, int | None]:
    """Width and height of ``640x480``; either may be unknown."""
    if text is None:
        return None, None
    width, _, height = text.partition("x")
    return int(width) if width else None, int(height) if height else None


def as_text(width: int | None, height: int | None) -> str | None:
    """``640x480``; nothing where neither is known."""
    if width is None and height is None:
        return None
    return f"{'' if width is None else width}x{'' if height is None else height}"


class SigningKeysHaveAPathOfTheirOwn(Change):
    """The keys a mall signs with are at `/signing-keys`, since there are API keys, too. They were at `/keys`."""

    version = "2026-11-01"
    was = (
        operation("access.list_keys").was_at("GET", "/keys"),
        operation("access.rotate_key").was_at("POST", "/keys/{purpose}"),
        operation("access.revoke_key").was_at("DELETE", "/keys/{purpose}/{number}"),
    )


class RevisionsMayHaveNoMessage(Change):
    """A revision that nobody gave a message has `null` for it, as other things that are not there. It had `""`."""

    version = "2026-11-01"
    touches = structure.Revision
    was = (field("message").was_required(default=""),)
    examples = (
        {
            "channel": "chn_01990000000070008000000000000001",
            "number": 7,
            "author": "user:ada",
            "at": "2026-09-01T08:00:00Z",
            "message": "",
            "digest": "0" * 64,
        },
    )


class SchedulesAreDone(Change):
    """A schedule that was carried out is `done`, as short as `waiting` and `failed`. Its state was `carried_out`."""

    version = "2026-11-01"
    touches = structure.Schedule
    was = (field("state").had_values({"done": "carried_out"}),)
    examples = (
        {
            "id": "sch_01990000000070008000000000000001",
            "channel": "chn_01990000000070008000000000000001",
            "action": "publish",
            "draft": "drf_01990000000070008000000000000001",
            "revision": None,
            "author": "user:ada",
            "at": "2026-09-01T08:00:00Z",
            "state": "carried_out",
            "done_at": "2026-09-01T08:00:01Z",
            "result": 8,
        },
    )


class SchedulesAreAskedForByTheirState(Change):
    """A list of schedules is asked for by the states as they are called now."""

    version = "2026-11-01"
    touches = "structure.list_schedules"
    was = (field("state").had_values({"done": "carried_out"}),)
    examples = ({"channel": "books", "state": "carried_out"},)


class NodesMoveBelowAParent(Change):
    """Where a node is moved is its `parent`, as where it is made.

    It was called `to`, which is a revision where a channel is rolled back.
    """

    version = "2026-11-01"
    touches = "structure.move"
    was = (field("parent").was_named("to"),)
    examples = ({"channel": "books", "node": "fiction/crime", "to": "non-fiction"},)


class PicturesHaveWidthAndHeight(Change):
    """The size of a picture is two numbers, `width` and `height`. It was one text, `dimensions`: `640x480`."""

    version = "2026-11-01"
    touches = attachments.Version
    was = (fields("width", "height").were_one("dimensions", Dimensions | None, split=in_pixels, join=as_text),)
    examples = (
        {
            "ref": "att_01990000000070008000000000000001@3",
            "attachment": "att_01990000000070008000000000000001",
            "n": 3,
            "owner": "category:cat_01990000000070008000000000000001",
            "slot": "pictures",
            "unit_id": "unt_01990000000070008000000000000001",
            "file_name": "front.png",
            "size": 48213,
            "digest": "sha256:" + "0" * 64,
            "detected_type": "image/png",
            "dimensions": "640x480",
            "created_by": "user:ada",
            "created_at": "2026-09-01T08:00:00Z",
        },
    )


CHANGES = (
    SigningKeysHaveAPathOfTheirOwn,
    RevisionsMayHaveNoMessage,
    SchedulesAreDone,
    SchedulesAreAskedForByTheirState,
    NodesMoveBelowAParent,
    PicturesHaveWidthAndHeight,
)
