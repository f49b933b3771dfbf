"""The faces of a mall, as the scenarios see them: the same few verbs, whatever they are spoken through."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import httpx

from mallcore import Mall, Principal, attachments
from mallcore.api import Request
from mallcore.errors import MallError, Unauthenticated
from mallcore.kernel.operations import Operation, run

Json = dict[str, Any]


class Refusal(Exception):
    """What a face says when the mall refuses: the error's stable code, and what it tells about it."""

    def __init__(self, code: str, details: Json) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


class Face(Protocol):
    """One way to a mall. Results are plain JSON values in the shapes of the operations; a refusal is a `Refusal`."""

    def create_channel(self, slug: str, name: str) -> Json: ...
    def create_node(self, channel: str, name: str, **more: Any) -> Json: ...
    def update_node(self, channel: str, node: str, **more: Any) -> Json: ...
    def move(self, channel: str, node: str, parent: str | None, **more: Any) -> Json: ...
    def remove(self, channel: str, node: str, **more: Any) -> Json: ...
    def restore(self, channel: str, node: str) -> Json: ...
    def edit(self, channel: str, edits: list[Json], **more: Any) -> Json: ...
    def tree(self, channel: str, **more: Any) -> Json: ...
    def get_node(self, channel: str, node: str) -> Json: ...
    def log(self, channel: str, **more: Any) -> Json: ...
    def diff(self, channel: str, a: Any, b: Any) -> Json: ...
    def rollback(self, channel: str, to: Any, **more: Any) -> Json: ...
    def open_draft(self, channel: str, name: str) -> Json: ...
    def edit_draft(self, draft: str, edits: list[Json]) -> Json: ...
    def publish_draft(self, draft: str, **more: Any) -> Json: ...
    def create_snapshot(self, name: str) -> Json: ...
    def import_taxonomy(self, channel: str, data: bytes, **more: Any) -> Json: ...
    def export(self, channel: str, format: str) -> bytes: ...
    def remove_channel(self, channel: str) -> Json: ...
    def upload(self, owner: str, content: bytes, file_name: str, **more: Any) -> Json: ...
    def content(self, version: str, start: int = 0, end: int | None = None) -> bytes: ...
    def get_attachment(self, attachment: str) -> Json: ...
    def versions(self, attachment: str) -> Json: ...
    def set_label(self, attachment: str, label: str, to: int, **more: Any) -> Json: ...
    def remove_label(self, attachment: str, label: str) -> Any: ...
    def label_history(self, attachment: str, label: str) -> Json: ...
    def restore_version(self, version: str, **more: Any) -> Json: ...
    def remove_attachment(self, attachment: str) -> Json: ...
    def attachments_of(self, owner: str, **more: Any) -> Json: ...
    def link(self, version: str, **more: Any) -> Json: ...
    def revoke_link(self, link: str) -> Any: ...
    def follow(self, link: Json) -> bytes: ...
    def place_hold(self, attachment: str, reason: str, **more: Any) -> Json: ...
    def release_hold(self, hold: str) -> Json: ...
    def drop_version(self, version: str, reason: str) -> Json: ...
    def collect(self, dry_run: bool) -> Json: ...


class Spoken:
    """A face that needs to know only one thing: how to call an operation by its name."""

    def call(self, operation: str, arguments: Json) -> Any:
        raise NotImplementedError

    def create_channel(self, slug: str, name: str) -> Json:
        return self._do("create_channel", slug=slug, name=name)

    def create_node(self, channel: str, name: str, **more: Any) -> Json:
        return self._do("create_node", channel=channel, name=name, **more)

    def update_node(self, channel: str, node: str, **more: Any) -> Json:
        return self._do("update_node", channel=channel, node=node, **more)

    def move(self, channel: str, node: str, parent: str | None, **more: Any) -> Json:
        return self._do("move", channel=channel, node=node, parent=parent, **more)

    def remove(self, channel: str, node: str, **more: Any) -> Json:
        return self._do("remove", channel=channel, node=node, **more)

    def restore(self, channel: str, node: str) -> Json:
        return self._do("restore", channel=channel, node=node)

    def edit(self, channel: str, edits: list[Json], **more: Any) -> Json:
        return self._do("edit", channel=channel, edits=edits, **more)

    def tree(self, channel: str, **more: Any) -> Json:
        return self._do("tree", channel=channel, **more)

    def get_node(self, channel: str, node: str) -> Json:
        return self._do("get_node", channel=channel, node=node)

    def log(self, channel: str, **more: Any) -> Json:
        return self._do("log", channel=channel, **more)

    def diff(self, channel: str, a: Any, b: Any) -> Json:
        return self._do("diff_revisions", channel=channel, a=a, b=b)

    def rollback(self, channel: str, to: Any, **more: Any) -> Json:
        return self._do("rollback", channel=channel, to=to, **more)

    def open_draft(self, channel: str, name: str) -> Json:
        return self._do("open_draft", channel=channel, name=name)

    def edit_draft(self, draft: str, edits: list[Json]) -> Json:
        return self._do("edit_draft", draft=draft, edits=edits)

    def publish_draft(self, draft: str, **more: Any) -> Json:
        return self._do("publish_draft", draft=draft, **more)

    def create_snapshot(self, name: str) -> Json:
        return self._do("create_snapshot", name=name)

    def import_taxonomy(self, channel: str, data: bytes, **more: Any) -> Json:
        return self._do("import_taxonomy", channel=channel, data=data, **more)

    def export(self, channel: str, format: str) -> bytes:
        found: bytes = self.call("structure.export", {"channel": channel, "format": format})
        return found

    def remove_channel(self, channel: str) -> Json:
        return self._do("remove_channel", channel=channel)

    def upload(self, owner: str, content: bytes, file_name: str, **more: Any) -> Json:
        given = {"file": content, "file_name": file_name, "owner": owner, **more}
        return self._attach("upload_file", **given)

    def content(self, version: str, start: int = 0, end: int | None = None) -> bytes:
        raise NotImplementedError

    def get_attachment(self, attachment: str) -> Json:
        return self._attach("get_attachment", attachment=attachment)

    def versions(self, attachment: str) -> Json:
        return self._attach("list_versions", attachment=attachment)

    def set_label(self, attachment: str, label: str, to: int, **more: Any) -> Json:
        return self._attach("set_label", attachment=attachment, label=label, to=to, **more)

    def remove_label(self, attachment: str, label: str) -> Any:
        return self._attach("remove_label", attachment=attachment, label=label)

    def label_history(self, attachment: str, label: str) -> Json:
        return self._attach("label_history", attachment=attachment, label=label)

    def restore_version(self, version: str, **more: Any) -> Json:
        return self._attach("restore_version", version=version, **more)

    def remove_attachment(self, attachment: str) -> Json:
        return self._attach("remove_attachment", attachment=attachment)

    def attachments_of(self, owner: str, **more: Any) -> Json:
        return self._attach("list_attachments", owner=owner, **more)

    def link(self, version: str, **more: Any) -> Json:
        return self._attach("link", version=version, to="anyone", **more)

    def revoke_link(self, link: str) -> Any:
        return self._attach("revoke_link", link=link)

    def follow(self, link: Json) -> bytes:
        """What whoever has a link gets, without any credentials."""
        raise NotImplementedError

    def place_hold(self, attachment: str, reason: str, **more: Any) -> Json:
        return self._attach("place_hold", attachment=attachment, reason=reason, **more)

    def release_hold(self, hold: str) -> Json:
        return self._attach("release_hold", hold=hold)

    def drop_version(self, version: str, reason: str) -> Json:
        return self._attach("drop_version", version=version, reason=reason)

    def collect(self, dry_run: bool) -> Json:
        return self._attach("collect", dry_run=dry_run, grace_seconds=0)

    def _attach(self, operation: str, **arguments: Any) -> Json:
        found: Json = self.call(f"attachments.{operation}", arguments)
        return found

    def _do(self, operation: str, **arguments: Any) -> Json:
        found: Json = self.call(f"structure.{operation}", arguments)
        return found


class PythonFace(Spoken):
    """The mall as a Python library."""

    def __init__(self, mall: Mall, principal: Principal) -> None:
        self.mall = mall
        self.principal = principal

    def call(self, operation: str, arguments: Json) -> Any:
        known = self.mall.catalogue[operation]
        try:
            with self.mall.begin(self.principal) as ctx:
                result = run(known, ctx, arguments)
        except MallError as error:
            raise Refusal(error.code, error.details) from None
        if operation == "structure.export":
            return result.body
        return json.loads(result.body if hasattr(result, "body") else known.output.dump_json(result))

    def content(self, version: str, start: int = 0, end: int | None = None) -> bytes:
        try:
            with self.mall.begin(self.principal) as ctx:
                stream = attachments.open_version(ctx, version=version, start=start, end=end)
        except MallError as error:
            raise Refusal(error.code, error.details) from None
        with stream:
            return stream.read()

    def follow(self, link: Json) -> bytes:
        return followed(self.mall, link)


def followed(mall: Mall, link: Json) -> bytes:
    """What a link opens for somebody unknown."""
    try:
        with mall.begin(Principal.anonymous()) as ctx:
            answer = attachments.deliver_link(ctx, token=link["token"])
    except MallError as error:
        raise Refusal(error.code, error.details) from None
    assert answer.body is not None
    with answer.body as body:
        return body.read()


Send = Callable[..., httpx.Response]


class HttpFace(Spoken):
    """The mall over HTTP: an operation's REST binding says how it is asked for."""

    def __init__(self, mall: Mall, send: Send, base: str, principal: Principal) -> None:
        self.mall = mall
        self.send = send
        self.base = base
        self.headers = {"authorization": f"Bearer {principal.ref}"}

    def call(self, operation: str, arguments: Json) -> Any:
        response = self.send(*self._asked(self.mall.catalogue[operation], dict(arguments)))
        refuse(response)
        if response.status_code == 204:
            return None
        return response.content if operation == "structure.export" else response.json()

    def follow(self, link: Json) -> bytes:
        response = self.send("GET", f"{self.base}/links/{link['token']}", {}, b"")
        refuse(response)
        return response.content

    def content(self, version: str, start: int = 0, end: int | None = None) -> bytes:
        part = {"range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        path = f"{self.base}/versions/{quote(version, safe='')}/content"
        response = self.send("GET", path, {**self.headers, **part}, b"")
        refuse(response)
        assert response.status_code == (206 if part else 200)
        return response.content

    def _asked(self, operation: Operation, arguments: Json) -> tuple[str, str, dict[str, str], bytes]:
        rest = operation.rest
        assert rest is not None
        path = rest.path
        for name in list(arguments):
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", quote(str(arguments.pop(name)), safe=""))
        headers, body, query = self.headers, b"", ""
        if rest.raw is not None:
            body = arguments.pop(rest.raw)
            headers = {**headers, "content-type": "application/octet-stream"}
        if rest.raw is not None or rest.method in ("GET", "DELETE"):
            query = urlencode({name: _text(value) for name, value in arguments.items() if value is not None})
        else:
            body = json.dumps(arguments).encode()
            headers = {**headers, "content-type": "application/json"}
        return rest.method, self.base + path + (f"?{query}" if query else ""), headers, body


def refuse(response: httpx.Response) -> None:
    """Raise what a response refuses."""
    if response.status_code >= 400:
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["status"] == response.status_code
        raise Refusal(problem["code"], problem)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def authenticate(request: Request) -> Principal | None:
    """The tests' way to say who asks: the principal's name is the token. A word that names nobody is refused."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not token:
        return None
    kind, colon, id = token.partition(":")
    if not colon:
        raise Unauthenticated()
    return Principal(kind, id)


class Opened(AbstractContextManager["Opened"]):
    """One mall with an application in front of it, and a client that speaks to it without a network."""

    def __init__(self, kind: str, mall: Mall) -> None:
        self.mall = mall
        self._kind = kind
        self._stack = ExitStack()
        self._send, self.base = OPENERS[kind](mall, self._stack)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def face(self, principal: Principal, version: str | None = None) -> Face:
        """The mall as seen by this principal; over HTTP, in a version if one is named."""
        if self._send is None:
            return PythonFace(self.mall, principal)
        if self._kind == "graphql":
            from tests.adapters.graphql_face import GraphQLFace

            return GraphQLFace(self.mall, self._send, self.base, principal)
        if version is not None:
            from tests.adapters.versioned_face import VersionedFace

            return VersionedFace(self.mall, self._send, self.base, principal, version)
        return HttpFace(self.mall, self._send, self.base, principal)

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> httpx.Response:
        """One HTTP request, to be looked at as it is."""
        assert self._send is not None
        return self._send(method, self.base + path, headers or {}, body)


Opener = Callable[[Mall, ExitStack], "tuple[Send | None, str]"]


def _python(mall: Mall, stack: ExitStack) -> tuple[Send | None, str]:
    return None, ""


def _asgi(mall: Mall, stack: ExitStack) -> tuple[Send | None, str]:
    from mallcore.adapters.asgi import MallASGI

    return _over_asgi(MallASGI(mall, authenticate), stack), ""


def _wsgi(mall: Mall, stack: ExitStack) -> tuple[Send | None, str]:
    from wsgiref.validate import validator

    from mallcore.adapters.wsgi import MallWSGI

    return _over_wsgi(validator(MallWSGI(mall, authenticate)), stack), ""


def _fastapi(mall: Mall, stack: ExitStack) -> tuple[Send | None, str]:
    from fastapi import FastAPI

    from mallcore.adapters.fastapi import install

    app = FastAPI()
    install(app, mall, authenticate, prefix="/mall")
    return _over_asgi(app, stack), "/mall"


def _flask(mall: Mall, stack: ExitStack) -> tuple[Send | None, str]:
    from flask import Flask

    from mallcore.adapters.flask import mall_blueprint

    app = Flask(__name__)
    app.register_blueprint(mall_blueprint(mall, authenticate), url_prefix="/mall")
    return _over_wsgi(app, stack), "/mall"


OPENERS: dict[str, Opener] = {
    "python": _python, "asgi": _asgi, "wsgi": _wsgi, "fastapi": _fastapi, "flask": _flask, "graphql": _asgi,
}  # fmt: skip
WEB = [kind for kind in OPENERS if kind not in ("python", "graphql")]


def _over_asgi(app: Any, stack: ExitStack) -> Send:
    runner = stack.enter_context(asyncio.Runner())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://mall.test")
    stack.callback(lambda: runner.run(client.aclose()))

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        return runner.run(client.request(method, path, headers=headers, content=body or None))

    return send


def _over_wsgi(app: Any, stack: ExitStack) -> Send:
    def as_servers_do(environ: dict[str, Any], start_response: Any) -> Any:
        environ["PATH_INFO"] = environ["PATH_INFO"].encode().decode("latin-1")  # PEP 3333; httpx leaves it as text
        return app(environ, start_response)

    transport = httpx.WSGITransport(as_servers_do)
    client = stack.enter_context(httpx.Client(transport=transport, base_url="http://mall.test"))

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        return client.request(method, path, headers=headers, content=body or None)

    return send
