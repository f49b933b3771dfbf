"""A Flask shop with a mall in it: visitors read, the editor writes, known by the host's own session cookie.

Run it in an empty folder: python embed_flask.py
"""

import flask

from mallcore import Mall, Principal, access, structure
from mallcore.adapters.flask import mall_blueprint
from mallcore.api import Request


def authenticate(request: Request) -> Principal | None:
    """Whoever Flask's session says; nothing for visitors."""
    user = flask.session.get("user")
    return Principal.user(user) if user else None


def shop(mall: Mall) -> flask.Flask:
    """The host application: a page and a sign-in of its own, and the mall's API under /mall."""
    app = flask.Flask(__name__)
    app.secret_key = "only for this example"
    app.register_blueprint(mall_blueprint(mall, authenticate), url_prefix="/mall")

    @app.get("/")
    def home() -> str:
        with mall.begin(Principal.anonymous()) as ctx:
            nodes = structure.tree(ctx, channel="books").nodes
        return ", ".join(node.name for node in nodes) or "an empty shop"

    @app.post("/sign-in/<user>")
    def sign_in(user: str) -> str:
        flask.session["user"] = user  # a real shop asks for a password
        return f"hello {user}"

    return app


def main() -> None:
    """Play a visitor and an editor."""
    with Mall.open("sqlite:///mall.db") as mall:
        with mall.begin(Principal.system("setup")) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            access.grant(ctx, principal="anonymous:*", role="visitor")
            access.grant(ctx, principal="user:ada", role="editor")
        app = shop(mall)
        visitor, ada = app.test_client(), app.test_client()

        refused = visitor.post("/mall/channels/books/nodes", json={"name": "Graffiti"})
        print("visitor:", refused.status_code, refused.get_json(force=True)["code"])

        print("ada:", ada.post("/sign-in/ada").text)
        made = ada.post("/mall/channels/books/nodes", json={"name": "Fiction", "kind": "section"})
        print("ada:", made.status_code, made.headers["location"])

        tree = visitor.get("/mall/channels/books/tree")
        again = visitor.get("/mall/channels/books/tree", headers={"If-None-Match": tree.headers["ETag"]})
        print("visitor:", tree.status_code, "and", again.status_code)
        print("the shop's own page:", visitor.get("/").text)
        assert (refused.status_code, made.status_code, again.status_code) == (401, 201, 304)


if __name__ == "__main__":
    main()
