"""The pages of the API itself: an index, its OpenAPI document, and whether it is well."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from typing import Any

from mallcore.api.answers import page, tag_of
from mallcore.api.http import Mall, Request, Response
from mallcore.api.openapi import openapi
from mallcore.api.rules.openapi import Life
from mallcore.api.rules.tus import PATH as TUS
from mallcore.api.table import Page, Table
from mallcore.kernel.context import Principal
from mallcore.kernel.work import MemoryOnly

log = logging.getLogger("mallcore.api")
_MOST_BASES = 16  # a mall is mounted at few places; a proxy's header must not fill the memory


def index(request: Request, mall: Mall, table: Table, waiting: bool) -> Response:
    """What this is, and where to go from here."""
    base = request.base
    links = {"openapi": f"{base}/openapi.json", "health": f"{base}/health", "uploads": f"{base}{TUS}"}
    content = _json({"name": "mallcore", "version": version("mallcore"), "links": links})
    return page(request, content, etag=tag_of(content))


def document(request: Request, mall: Mall, table: Table, waiting: bool) -> Response:
    """The OpenAPI document, as bytes made once for each place the API is mounted at."""
    life = _life(mall, table)
    key = request.base, life.deprecated
    known = table.documents.get(key)
    if known is None:
        if not waiting:
            raise MemoryOnly()
        content = _json(openapi(table.view, request.base, life=life))
        known = content, tag_of(content)
        if len(table.documents) < _MOST_BASES:
            table.documents[key] = known
    return page(request, known[0], etag=known[1])


def _life(mall: Mall, table: Table) -> Life:
    """What the document says of the version's end, as of now."""
    release = mall.versions.find(table.view.version)
    ending = mall.versions.state(release.name, mall.now()) in ("deprecated", "brown-out", "sunset")
    return Life(ending, None if release.sunset is None else release.sunset.date().isoformat())


def health(request: Request, mall: Mall, table: Table, waiting: bool) -> Response:
    """200 when the database answers, 503 when it does not."""
    if not waiting:
        raise MemoryOnly()
    try:
        with mall.begin(Principal.system("health"), request_id=request.request_id) as ctx:
            ctx.connection.exec_driver_sql("SELECT 1")
    except Exception:
        log.warning("request %s: the mall is not well", request.request_id, exc_info=True)
        return page(request, _json({"status": "unavailable"}), 503)
    return page(request, _json({"status": "ok"}))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


PAGES: dict[str, Page] = {"/": index, "/health": health, "/openapi.json": document}
