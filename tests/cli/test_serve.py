"""`serve`: a real process, real HTTP; the token opens it, a signal ends it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.cli.serving import PATIENCE, running
from tests.cli.typing_in import Typed, type_in
from tests.test_docs import REPOSITORY, blocks, compare, run_python

Cli = Callable[..., Typed]


def test_the_token_opens_the_api(books: Cli, folder: Path) -> None:
    """It is printed with the URL; without it, or with another, the answer is 401; Ctrl-C ends it well."""
    with running("serve", "--mall", str(folder), "--port", "0") as server:
        token = server.said["token"]
        assert len(token) > 30
        assert server.get("/channels", token).json()["items"][0]["slug"] == "books"
        assert server.get("/channels").status_code == 401
        for wrong in (token[:-1], token + "x", "x", "é"):
            response = httpx.get(server.url + "/channels", headers={"authorization": f"Bearer {wrong}".encode()})
            assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
        basic = httpx.get(server.url + "/channels", headers={"authorization": f"Basic {token}"})
        assert basic.status_code == 401
        assert server.get("/openapi.json").json()["openapi"].startswith("3.1")
        outside = httpx.get(server.url.removesuffix("/api") + "/apis")
        assert (outside.status_code, "/api" in outside.text) == (404, True)
        assert server.stop() == 0


def test_what_is_written_is_there_for_other_processes(books: Cli, folder: Path) -> None:
    """A change over HTTP is seen by the next command, one by a command is seen over HTTP; the author is the admin."""
    with running("serve", "--mall", str(folder), "--port", "0") as server:
        authorization = {"authorization": f"Bearer {server.said['token']}"}
        body = {"name": "Toys", "kind": "section"}
        made = httpx.post(server.url + "/channels/books/nodes", headers=authorization, json=body, timeout=PATIENCE)
        assert made.status_code == 201
        newest = books("structure", "log", "--limit", "1", "--json").json["items"][0]
        assert (newest["number"], newest["author"]) == (4, "system:admin")
        assert books("structure", "rename", "toys", "Games").code == 0
        seen = server.get("/channels/books/nodes/toys?min_revision=5", server.said["token"])
        assert seen.json()["name"] == "Games"


def test_a_token_of_ones_own_is_used_and_not_repeated(folder: Path) -> None:
    """From MALLCORE_TOKEN or the variable that --token-env names."""
    for variable, words in (("MALLCORE_TOKEN", []), ("OTHER", ["--token-env", "OTHER"])):
        with running("serve", "--mall", str(folder), "--port", "0", *words, variables={variable: "sesame"}) as server:
            assert server.said["token"] is None
            assert server.get("/channels", "sesame").status_code == 200
            assert server.get("/channels", "other").status_code == 401


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_it_prints_work_as_they_stand(books: Cli, folder: Path) -> None:
    """One reads by REST, one by GraphQL, whose address is printed; both show the same."""
    with running("serve", "--mall", str(folder), "--port", "0") as server:
        answers = []
        for line in server.said["try"]:
            done = subprocess.run(["sh", "-c", line], capture_output=True, check=True, timeout=PATIENCE)
            answers.append(json.loads(done.stdout))
        rest, graphql = answers
        shown = [{"slug": one["slug"], "name": one["name"]} for one in rest["items"]]
        assert shown == graphql["data"]["structureListChannels"]["nodes"] != []
        assert server.said["graphql"] == server.url + "/graphql"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_of_the_readme_work_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder of its first program: each curl line answers what the README shows."""
    monkeypatch.chdir(tmp_path)
    page = list(blocks(REPOSITORY / "README.md"))
    run_python(next(block for block in page if block.language == "python"), {})
    shown = next(block for block in page if block.excuse and "test_serve.py" in block.excuse)
    started, *curls = re.split(r"^\$ ", shown.code, flags=re.MULTILINE)[1:]
    assert started.split() == ["mallcore", "init", "&&", "mallcore", "serve"]
    assert type_in("init").code == 0
    with running("serve", "--port", "0", home=tmp_path) as server:
        for line, expected in (re.split(r"(?<!\\)\n", one, maxsplit=1) for one in curls):
            command = line.replace("http://127.0.0.1:8000/api", server.url)
            variables = os.environ | {"TOKEN": server.said["token"]}
            done = subprocess.run(
                ["sh", "-c", command], capture_output=True, check=True, timeout=PATIENCE, env=variables
            )
            compare(shown, expected, done.stdout.decode() + "\n")
    assert len(curls) == 3


def test_an_api_key_opens_what_it_may(books: Cli, folder: Path) -> None:
    """A client comes with its own key, and may what it was granted, where its key lets it; a revoked one is refused."""
    books("channels", "create", "toys", "--name", "Toys")
    client = books("access", "clients", "create", "Partner", "--owner", "user:ada", "--json").json
    books("access", "grant", client["principal"], "visitor")
    key = books("access", "keys", "create", client["id"], "Sync", "--channel", "books", "--json").json
    with running("serve", "--mall", str(folder), "--port", "0") as server:
        seen = server.get("/channels", key["secret"]).json()["items"]
        assert [one["slug"] for one in seen] == ["books"]
        assert server.get("/channels/books/tree", key["secret"]).status_code == 200
        assert server.get("/channels/toys/tree", key["secret"]).status_code == 403
        assert server.get("/grants", key["secret"]).status_code == 403
    books("access", "keys", "revoke", key["id"])
    with running("serve", "--mall", str(folder), "--port", "0") as server:
        assert server.get("/channels", key["secret"]).status_code == 401


def test_nobody_says_itself_from_where_it_comes(books: Cli, folder: Path) -> None:
    """A key that is bound to other addresses is refused, whatever a header says: no proxy is trusted."""
    client = books("access", "clients", "create", "Partner", "--json").json
    books("access", "grant", client["principal"], "visitor")
    key = books("access", "keys", "create", client["id"], "Sync", "--addresses", "192.0.2.0/24", "--json").json
    with running("serve", "--mall", str(folder), "--port", "0") as server:
        headers = {"authorization": f"Bearer {key['secret']}", "x-forwarded-for": "192.0.2.7"}
        assert httpx.get(server.url + "/channels", headers=headers, timeout=PATIENCE).status_code == 401


@pytest.mark.parametrize("value", ["", "two words", "é", "a\nb"])
def test_it_never_starts_without_a_token(folder: Path, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty token, or one that no header can carry, is refused."""
    monkeypatch.setenv("MALLCORE_TOKEN", value)
    error = type_in("serve", "--mall", str(folder), "--json").error
    assert (error["code"], error["field"]) == ("invalid-input", "MALLCORE_TOKEN")


def test_a_variable_that_is_not_there_is_named(folder: Path) -> None:
    """--token-env of nothing is refused, not replaced."""
    assert type_in("serve", "--mall", str(folder), "--token-env", "NOPE", "--json").error["field"] == "NOPE"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "host.invalid", "a" * 300])
def test_it_listens_on_this_machine_only(folder: Path, host: str) -> None:
    """Another address is refused, with the reason and the way out."""
    error = type_in("serve", "--mall", str(folder), "--host", host, "--port", "0", "--json").error
    assert (error["code"], error["field"]) == ("invalid-input", "--host")


def test_a_port_that_is_taken_is_named(folder: Path, tmp_path: Path) -> None:
    """The message says which, and how to get another; the demo says so before it begins."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words in (["serve", "--mall", str(folder)], ["demo", "--dir", str(tmp_path / "demo")]):
            error = type_in(*words, "--port", port, "--json").error
            assert (error["code"], str(error["port"])) == ("unavailable", port)
            assert "--port 0" in error["message"]
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_open_stream_does_not_hold_it_back(books: Cli, folder: Path, number: int) -> None:
    """Whoever follows a channel is told that it is over; the process ends at once, and well."""
    with running("serve", "--mall", str(folder), "--port", "0") as server:
        headers = {"authorization": f"Bearer {server.said['token']}", "accept": "text/event-stream"}
        url = server.url + "/channels/books/changes?after=0"
        with httpx.stream("GET", url, headers=headers, timeout=PATIENCE) as response:
            lines = response.iter_lines()
            assert any(line.startswith("data:") for line in lines)
            ended = threading.Thread(target=lambda: list(lines))
            ended.start()
            assert server.stop(number) == 0
            ended.join(PATIENCE)
            assert not ended.is_alive()


def test_it_carries_out_schedules(books: Cli, folder: Path) -> None:
    """What is due is done while it serves."""
    draft = books("structure", "draft", "open", "Sale", "--json").json["id"]
    books("structure", "rename", "fiction", "Sale!", "--draft", draft)
    books("structure", "draft", "schedule", draft, "--at", "2026-01-01T00:00:00Z")
    with running("serve", "--mall", str(folder), "--port", "0") as server:
        headers = {"authorization": f"Bearer {server.said['token']}", "accept": "text/event-stream"}
        url = server.url + "/channels/books/changes?after=3"
        with httpx.stream("GET", url, headers=headers, timeout=PATIENCE) as response:
            assert any('"number":4' in line for line in response.iter_lines())


def test_watch_follows_a_channel(books: Cli, folder: Path) -> None:
    """Each revision is one line of JSON, those missed and those to come; Ctrl-C ends it with 130."""
    from tests.cli.conftest import PROGRAM

    words = ["--mall", str(folder), "structure", "watch", "--after", "1", "--json"]
    with subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["number"] for _ in range(2)] == [2, 3]
        assert books("structure", "create", "Toys", "-m", "more").code == 0
        assert json.loads(process.stdout.readline())["message"] == "more"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
