"""A FastAPI shop with a mall in it: its operations stand in the shop's own /docs, beside the shop's own routes.

Run it in an empty folder: python embed_fastapi.py
"""

import asyncio

import httpx
from fastapi import FastAPI

from mallcore import Mall, Principal, access, structure
from mallcore.adapters.fastapi import install
from mallcore.api import Request
from mallcore.errors import Unauthenticated

TOKENS = {"the-token-of-ada": Principal.user("ada")}


def authenticate(request: Request) -> Principal | None:
    """Whoever holds the token; nothing for visitors."""
    _, _, token = request.headers.get("authorization", "").partition(" ")
    if token and token not in TOKENS:
        raise Unauthenticated()
    return TOKENS.get(token)


def shop(mall: Mall) -> FastAPI:
    """The host application, with the mall's API under /mall."""
    app = FastAPI(title="Bookshop")
    install(app, mall, authenticate, prefix="/mall")

    @app.get("/")
    def home() -> list[str]:
        with mall.begin(Principal.anonymous()) as ctx:
            return [node.name for node in structure.tree(ctx, channel="books").nodes]

    return app


async def play(app: FastAPI) -> None:
    """A visitor and an editor."""
    ada = {"authorization": "Bearer the-token-of-ada"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        refused = await client.post("/mall/channels/books/nodes", json={"name": "Graffiti"})
        print("visitor:", refused.status_code, refused.json()["code"])

        made = await client.post("/mall/channels/books/nodes", json={"name": "Fiction", "kind": "section"}, headers=ada)
        print("ada:", made.status_code, made.headers["location"])

        tree = await client.get("/mall/channels/books/tree")
        again = await client.get("/mall/channels/books/tree", headers={"if-none-match": tree.headers["etag"]})
        print("visitor:", tree.status_code, "and", again.status_code)

        paths = (await client.get("/openapi.json")).json()["paths"]
        print("documented:", "/" in paths, "/mall/channels/{channel}/tree" in paths)
        print("the shop's own route:", (await client.get("/")).json())
    assert (refused.status_code, made.status_code, again.status_code) == (401, 201, 304)


def main() -> None:
    """Set the mall up, and play."""
    with Mall.open("sqlite:///mall.db") as mall:
        with mall.begin(Principal.system("setup")) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            access.grant(ctx, principal="anonymous:*", role="visitor")
            access.grant(ctx, principal="user:ada", role="editor")
        asyncio.run(play(shop(mall)))


if __name__ == "__main__":
    main()
