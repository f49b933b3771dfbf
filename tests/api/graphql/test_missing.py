"""Where graphql-core is not installed."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
sys.modules["graphql"] = None
from mallcore import Mall, Principal
from mallcore.api import Dispatch, Request
from mallcore.api.graphql import face, schema, sdl
from mallcore.errors import MissingExtra

told = []
with Mall.open("sqlite://") as mall:
    view = mall.versions.view(mall.catalogue, mall.versions.latest(mall.now()))
    for call in (lambda: face(mall), lambda: schema(view), lambda: sdl(view)):
        try:
            call()
        except MissingExtra as error:
            told.append(error.details["extra"])
    dispatch = Dispatch(mall, lambda request: Principal.system("tests"))
    response = dispatch.run(Request("POST", "/graphql", headers={"content-type": "application/json"}, body=b"{}"))
    rest = dispatch.run(Request("GET", "/channels"))
print(json.dumps([told, response.status, json.loads(response.body)["code"], rest.status]))
"""


def test_all_else_works_without_it() -> None:
    """Who asks for GraphQL is told what to install; whoever does not, misses nothing."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["graphql"] * 3, 501, "missing-extra", 200]
