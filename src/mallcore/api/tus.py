"""tus 1.0.0 at ``/tus``: uploads that go on where they broke off, over the operations that keep them.

When all has come, the content waits to be attached under the upload's id: `attachments.attach` makes it a version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from email.utils import format_datetime
from typing import Any, BinaryIO
from urllib.parse import quote

from mallcore.api.bodies import refuse_other_types
from mallcore.api.http import Mall, Request, Response
from mallcore.api.rules import tus as rules
from mallcore.api.rules.problems import Refused
from mallcore.errors import ContentMismatch, InvalidInput, LimitExceeded, MallError, UnknownOperation, UploadClosed
from mallcore.kernel.context import Context
from mallcore.kernel.operations import run

Begin = Callable[[Request], AbstractContextManager[Context]]
Opened = Callable[[Request], BinaryIO]
_NOT_STORED = ("cache-control", "no-store")


class Tus:
    """Answers what is asked at and below ``/tus``."""

    def __init__(self, mall: Mall, largest: int, begin: Begin, opened: Opened) -> None:
        self._mall = mall
        self._largest = largest
        self._begin = begin
        self._opened = opened

    def takes(self, request: Request) -> bool:
        """Whether the request is about such an upload."""
        below = request.path == rules.PATH or request.path.startswith(rules.PATH + "/")
        return below and "attachments.begin_upload" in self._mall.catalogue

    def streams_body(self, request: Request) -> bool:
        """Whether its body is read while it comes."""
        return self.takes(request) and (self._method(request) == "PATCH" or rules.brings_a_part(request.headers))

    def answer(self, request: Request) -> Response:
        """The response."""
        method, upload = self._method(request), request.path.removeprefix(rules.PATH)[1:]
        if method == "OPTIONS":
            return self._about(bool(upload))
        answers = {"HEAD": self._head, "PATCH": self._patch, "DELETE": self._delete} if upload else {"POST": self._post}
        if method not in answers:
            error = UnknownOperation(method=method[:20], path=request.path[:200])
            raise Refused(405, error, {"allow": ", ".join([*answers, "OPTIONS"])})
        rules.refuse_other_versions(request.headers)
        rules.refuse_pieces(request.headers)
        return answers[method](request, upload)

    @staticmethod
    def finished(response: Response) -> Response:
        """The response with the header that every one has."""
        response.headers.append(("tus-resumable", rules.VERSION))
        return response

    def _method(self, request: Request) -> str:
        """The method, or the one that a client that can't send it names instead."""
        named = request.headers.get("x-http-method-override", "").upper()
        return named if named and request.method == "POST" else request.method

    def _about(self, one: bool) -> Response:
        headers = [
            ("allow", "HEAD, PATCH, DELETE, OPTIONS" if one else "POST, OPTIONS"),
            ("tus-version", rules.VERSION),
            ("tus-extension", rules.EXTENSIONS),
            ("tus-max-size", str(self._largest)),
            ("tus-checksum-algorithm", rules.ALGORITHMS),
        ]
        return Response(204, headers)

    def _post(self, request: Request, _: str) -> Response:
        size = rules.length(request.headers)
        given = rules.begun_with(rules.metadata(request.headers.get("upload-metadata", "")))
        if size is not None and size > self._largest:
            raise Refused(413, LimitExceeded(what="the upload in bytes", actual=size, limit=self._largest))
        checksum = self._checksum(request)
        found = self._call(request, "begin_upload", size=size, **given)
        where = ("location", f"{quote(request.base, safe='/')}{rules.PATH}/{found.id}")
        if rules.brings_a_part(request.headers):
            found = self._first(request, found.id, checksum)
        elif size == 0:
            self._call(request, "finish_upload", upload=found.id)
        return Response(201, [where, _offset(found.offset), _NOT_STORED, _expires(found.expires)])

    def _first(self, request: Request, upload: str, checksum: str | None) -> Any:
        """The part that came with the beginning. When it fails, its client does not know where to go on."""
        try:
            return self._appended(request, upload, 0, {"checksum": checksum})
        except Exception:
            with suppress(MallError, Refused):
                self._call(request, "end_upload", upload=upload)
            raise

    def _head(self, request: Request, upload: str) -> Response:
        found = self._call(request, "get_upload", upload=upload)
        self._finish(request, found)  # who brought the last part may have gone before it was finished
        told = {"filename": found.file_name, "filetype": found.declared_type, "owner": found.owner, "slot": found.slot}
        size = ("upload-defer-length", "1") if found.size is None else ("upload-length", str(found.size))
        known = ("upload-metadata", rules.metadata_header({**told, **(found.meta or {}), **told}))
        return Response(200, [_offset(found.offset), size, known, _NOT_STORED, _expires(found.expires)])

    def _patch(self, request: Request, upload: str) -> Response:
        refuse_other_types(request.headers.get("content-type") or "none", (rules.MEDIA_TYPE,))
        offset = rules.number(request.headers, "Upload-Offset")
        if offset is None:
            raise Refused(400, InvalidInput(field="Upload-Offset", reason="say where the part begins"))
        size = rules.number(request.headers, "Upload-Length")
        found = self._appended(request, upload, offset, {"size": size, "checksum": self._checksum(request)})
        return Response(204, [_offset(found.offset), _NOT_STORED, _expires(found.expires)])

    def _appended(self, request: Request, upload: str, offset: int, given: Mapping[str, Any]) -> Any:
        """The upload with one part more; the last one finishes it."""
        more = {name: value for name, value in given.items() if value is not None}
        try:
            found = self._call(request, "append", upload=upload, offset=offset, content=self._opened(request), **more)
        except ContentMismatch as error:
            raise Refused(rules.CHECKSUM_MISMATCH, error) from None
        self._finish(request, found)
        return found

    def _finish(self, request: Request, found: Any) -> None:
        if found.state == "open" and found.offset == found.size:
            self._call(request, "finish_upload", upload=found.id)

    @staticmethod
    def _checksum(request: Request) -> str | None:
        """The checksum of the part; 400 for an algorithm that is not spoken here."""
        given = request.headers.get("upload-checksum")
        if given is not None and given.partition(" ")[0] not in rules.ALGORITHMS.split(","):
            raise Refused(400, InvalidInput(field="Upload-Checksum", reason=f"it begins with {rules.ALGORITHMS}"))
        return given

    def _delete(self, request: Request, upload: str) -> Response:
        self._call(request, "end_upload", upload=upload)
        return Response(204, [_NOT_STORED])

    def _call(self, request: Request, operation: str, **given: Any) -> Any:
        known = self._mall.catalogue[f"attachments.{operation}"]
        try:
            with self._begin(request) as ctx:
                return run(known, ctx, given)
        except UploadClosed as error:
            raise Refused(410, error) from None
        except LimitExceeded as error:
            raise Refused(413, error) from None


def _offset(offset: int) -> tuple[str, str]:
    return "upload-offset", str(offset)


def _expires(time: datetime) -> tuple[str, str]:
    return "upload-expires", format_datetime(time, usegmt=True)
