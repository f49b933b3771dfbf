"""Operations that read a body while it comes: what they are given, and who is let in before a form is read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from mallcore.api.arguments import arguments
from mallcore.api.bodies import ANY, Body, Form, Forms, Paced, is_form, length_of, refuse_larger, refuse_other_types
from mallcore.api.http import Options, Request
from mallcore.api.rules.negotiation import media_type
from mallcore.api.rules.openapi import FORM
from mallcore.api.rules.problems import Refused
from mallcore.api.rules.queries import gathered
from mallcore.api.table import Route
from mallcore.errors import InvalidInput

_FILE = "file"
_BYTES = "application/octet-stream"


class Receiver:
    """Reads bodies as the options allow; ``forms`` reads those that are forms, where there is something that can."""

    def __init__(self, options: Options, forms: Forms | None) -> None:
        self._options = options
        self._forms = forms

    @contextmanager
    def received(
        self, route: Route, path: dict[str, str], request: Request, let_in: Callable[[], None]
    ) -> Iterator[dict[str, Any]]:
        """The arguments of the operation, good within the block.

        A raw body is read by the operation, after its caller was let in. A form has to be read before that, so
        ``let_in`` refuses whoever can't be let in whatever the form says; of a posted one the file is read later.
        """
        content_type = request.headers.get("content-type")
        refuse_other_types(content_type, self._taken(route))
        body = self.opened(request)
        if not is_form(content_type):
            brought = {cast(str, route.rest.raw): body, **_said(route, request.method, content_type)}
            yield {**_declared(route, content_type), **arguments(route, path, request, brought)}
            return
        if not route.rest.posted:
            let_in()
        assert self._forms is not None
        assert content_type is not None
        form = self._forms(content_type, body, route.rest.posted)
        with form.file:
            brought = _brought(route, form) | _said(route, request.method, form.content_type)
            yield arguments(route, path, request, brought)

    def _taken(self, route: Route) -> tuple[str, ...]:
        return tuple(one for one in route.rest.accepts if one != FORM or self._forms is not None)

    def opened(self, request: Request) -> BinaryIO:
        """The body, to be read while it comes; 413 when more is announced than may come."""
        source = io.BytesIO(request.body) if request.stream is None else request.stream
        length, options = length_of(request.headers.get("content-length", "")), self._options
        refuse_larger(length or 0, options.max_upload)
        paced = Paced(source, options.patience, options.slowest)
        return cast(BinaryIO, Body(paced, length, options.max_upload))


def _brought(route: Route, form: Form) -> dict[str, Any]:
    """A form's fields and file under the operation's names; what its file says of itself counts unless a field does."""
    raw = cast(str, route.rest.raw)
    if form.field != _FILE:
        raise Refused(400, InvalidInput(field=form.field[:200], reason=f"the file's field is named {_FILE!r}"))
    found = gathered(form.fields, route.lists, route.documents)
    if {raw, _FILE} & set(found):
        raise Refused(400, InvalidInput(field=form.field, reason="it may be given only once"))
    for name, said in (("file_name", form.file_name), ("declared_type", form.content_type)):
        if name in route.fields and said:
            found.setdefault(name, said)
    return {**found, raw: form.file}


def _declared(route: Route, content_type: str | None) -> dict[str, Any]:
    """The type that a body is said to have, unless a parameter says another."""
    said = ANY in route.rest.accepts and "declared_type" in route.fields and content_type
    return {"declared_type": media_type(said)} if said and media_type(said) != _BYTES else {}


def _said(route: Route, method: str, content_type: str | None) -> dict[str, Any]:
    """What the request says beside its parameters, for an operation that wants to know."""
    said = {"method": method, "content_type": content_type and media_type(content_type)}
    return {name: value for name, value in said.items() if name in route.fields}
