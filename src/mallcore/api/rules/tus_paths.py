"""What the OpenAPI document says of tus, whose routes are no operations: their framing is the protocol's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mallcore.api.rules import tus
from mallcore.api.rules.problems import MEDIA_TYPE

Reference = Callable[[str, str], dict[str, Any]]
_INTEGER, _TEXT = {"type": "integer", "minimum": 0}, {"type": "string"}
_SHOWN = {
    "Location": (_TEXT, "Where the upload goes on."),
    "Tus-Checksum-Algorithm": (_TEXT, "The checksums that are understood."),
    "Tus-Extension": (_TEXT, "What is understood beyond the core."),
    "Tus-Max-Size": (_INTEGER, "The largest upload, in bytes."),
    "Tus-Resumable": (_TEXT, "The protocol's version: 1.0.0."),
    "Tus-Version": (_TEXT, "The versions that are spoken."),
    "Upload-Expires": (_TEXT, "When what came is collected, unless more comes."),
    "Upload-Length": (_INTEGER, "How many bytes there will be, once that is known."),
    "Upload-Metadata": (_TEXT, "What the upload was begun with."),
    "Upload-Offset": (_INTEGER, "How many bytes are there: the next part begins here."),
}
_ASKED = {
    "Upload-Checksum": (_TEXT, "Of this part: `sha1` or `sha256`, a space, the digest in Base64."),
    "Upload-Defer-Length": ({"const": "1"}, "The length is told later, with a part."),
    "Upload-Length": (_INTEGER, "How many bytes there will be."),
    "Upload-Metadata": (_TEXT, "Pairs of a key and Base64: `owner`, `slot`, `unit`, `sha256`, `filename`, `filetype`."),
    "Upload-Offset": (_INTEGER, "Where this part begins."),
}
_REFUSED = {
    400: "`invalid-input`: a header is missing or wrong, or the body was cut",
    401: "`unauthenticated`",
    403: "`denied`",
    404: "`unknown-upload`; of what `owner` names, `unknown-channel`, say",
    409: "`wrong-offset`: the upload stands elsewhere; its `actual` offset is told",
    410: "`upload-closed`: it was ended, attached, or has expired",
    412: "`invalid-input`: the client speaks another version of tus",
    413: "`limit-exceeded`: it is larger than announced, or than is taken",
    415: f"`invalid-input`: a part is sent as `{tus.MEDIA_TYPE}`",
    tus.CHECKSUM_MISMATCH: "`content-mismatch`: the part has another checksum; nothing of it counts",
}


def paths(reference: Reference) -> dict[str, Any]:
    """The paths of tus; ``reference`` points at a component by kind and name."""
    one = _Tus(reference)
    upload = {"name": "upload", "in": "path", "required": True, "schema": _TEXT, "description": "The upload's id."}
    begun = ("Location", "Upload-Offset", "Upload-Expires")
    made = {
        "options": one.route("options", "What is spoken here", 204, (), one.told, security=[]),
        "post": one.route("create", "Begin an upload, with its first part if there is a body", 201, _BEGUN, begun)
        | one.part(required=False),
    }
    offset = ("Upload-Offset", "Upload-Expires")
    known = (*offset, "Upload-Length", "Upload-Metadata")
    under_way = {
        "parameters": [upload],
        "head": one.route("offset", "Where an upload goes on", 200, (), known),
        "patch": one.route("append", "Bring the next part", 204, _APPENDED, offset) | one.part(required=True),
        "delete": one.route("end", "Give an upload up", 204, (), ()),
    }
    return {tus.PATH: made, f"{tus.PATH}/{{upload}}": under_way}


_BEGUN = ("Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Checksum")
_APPENDED = ("Upload-Offset", "Upload-Length", "Upload-Checksum")
_SPOKEN = {
    "name": "Tus-Resumable",
    "in": "header",
    "required": True,
    "schema": {"const": tus.VERSION},
    "description": "The protocol's version.",
}


class _Tus:
    """Routes of tus, with what they have in common."""

    told = ("Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm")

    def __init__(self, reference: Reference) -> None:
        self._reference = reference

    def route(
        self,
        name: str,
        summary: str,
        status: int,
        asked: tuple[str, ...],
        shown: tuple[str, ...],
        security: list[Any] | None = None,
    ) -> dict[str, Any]:
        """One route."""
        speaks = [] if security == [] else [_SPOKEN]
        scheme = self._reference("securitySchemes", "bearer")["$ref"].rpartition("/")[2]
        needs = "Open to everybody." if security == [] else "Needs the permission `attachments.write`."
        return {
            "operationId": f"tus.{name}",
            "tags": ["tus"],
            "summary": summary,
            "description": f"{summary}, as tus {tus.VERSION} has it.\n\n{needs}",
            "parameters": [*speaks, *(_header(one) for one in asked), self._reference("parameters", "RequestId")],
            "responses": self._responses(status, shown, refused=security is None),
            "security": [{scheme: []}] if security is None else security,
        }

    def part(self, *, required: bool) -> dict[str, Any]:
        """The body that brings a part."""
        schema = {"type": "string", "format": "binary"}
        return {"requestBody": {"required": required, "content": {tus.MEDIA_TYPE: {"schema": schema}}}}

    def _responses(self, status: int, shown: tuple[str, ...], *, refused: bool) -> dict[str, Any]:
        headers = {one: _shown(one) for one in ("Tus-Resumable", *shown)}
        made: dict[str, Any] = {str(status): {"description": "Success", "headers": headers}}
        content = {MEDIA_TYPE: {"schema": self._reference("schemas", "Problem")}}
        for code, about in _REFUSED.items() if refused else ():
            made[str(code)] = {"description": about, "content": content}
        return {**made, "default": self._reference("responses", "Problem")}


def _header(name: str) -> dict[str, Any]:
    schema, about = _ASKED[name]
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": about}


def _shown(name: str) -> dict[str, Any]:
    schema, about = _SHOWN[name]
    return {"schema": schema, "description": about}
