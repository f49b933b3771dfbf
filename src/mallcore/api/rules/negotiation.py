"""What the headers of a request ask for: media types, entity tags, preconditions, request ids."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

JSON = "application/json"
EVENTS = "text/event-stream"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,100}")
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_REVISION = re.compile(r'\s*(?:W/)?(?:"(\d{1,18})(?:\.[^"]*)?"|(\d{1,18}))\s*')


@functools.lru_cache(maxsize=512)
def accepts(header: str, media_type: str) -> bool:
    """Whether an ``Accept`` header allows a media type; the most specific range that covers it decides.

    >>> accepts("text/html, */*;q=0.8", JSON), accepts("text/html", JSON), accepts("*/*, application/json;q=0", JSON)
    (True, False, False)
    """
    main = media_type.partition("/")[0]
    ranges = dict(map(_range, header.lower().split(",")))
    for name in (media_type, f"{main}/*", "*/*"):
        if name in ranges:
            return ranges[name] > 0
    return False


def names(header: str, media_type: str) -> bool:
    """Whether an ``Accept`` header asks for this very media type, not just for anything."""
    return media_type in header.lower() and accepts(header, media_type)


def _range(text: str) -> tuple[str, float]:
    name, *parameters = text.split(";")
    quality = next((one.strip()[2:] for one in parameters if one.strip().startswith("q=")), "1")
    try:
        return name.strip(), float(quality)
    except ValueError:
        return name.strip(), 0.0


def is_json(content_type: str) -> bool:
    """Whether a ``Content-Type`` is JSON.

    >>> is_json("application/json; charset=utf-8"), is_json("application/merge-patch+json"), is_json("text/plain")
    (True, True, False)
    """
    name = media_type(content_type)
    return name == JSON or (name.startswith("application/") and name.endswith("+json"))


def media_type(content_type: str) -> str:
    """The media type in a ``Content-Type``, without its parameters.

    >>> media_type("Multipart/Form-Data; boundary=x")
    'multipart/form-data'
    """
    return content_type.partition(";")[0].strip().lower()


def matches(header: str, etag: str) -> bool:
    """Whether an ``If-None-Match`` header names an entity tag (given with its quotes), weakly compared.

    >>> matches('W/"a", "b"', '"a"'), matches("*", '"a"'), matches('"c"', '"a"')
    (True, True, False)
    """
    return header == etag or header.strip() == "*" or etag[1:-1] in _TAG.findall(header)


@dataclass(frozen=True, slots=True)
class BadTag(Exception):
    """An ``If-Match`` header that names no revision."""

    header: str


def revision_of(header: str) -> int | None:
    """The revision an ``If-Match`` header expects: a number, or an entity tag of ours; ``*`` expects nothing.

    >>> revision_of('"12"'), revision_of("12"), revision_of('W/"12.ab.3"'), revision_of("*")
    (12, 12, 12, None)
    """
    if header.strip() == "*":
        return None
    found = _REVISION.fullmatch(header)
    if found is None:
        raise BadTag(header)
    return int(found[1] or found[2])


def request_id_of(header: str | None) -> str | None:
    """A caller's own request id, if it is short and harmless."""
    return header if header is not None and _REQUEST_ID.fullmatch(header) else None
