"""The audits of GraphQL over HTTP, as npm's `graphql-http` makes them, against real servers."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from mallcore import Mall
from tests.adapters.faces import authenticate
from tests.adapters.serving import uvicorn_serving, werkzeug_serving

VERSION = "1.23.1"
SCRIPT = """
import { serverAudits } from 'graphql-http'
const results = await Promise.all(serverAudits({ url: process.argv[2], fetchFn: fetch }).map((audit) => audit.fn()))
console.log(JSON.stringify(results.map(({ id, name, status, reason }) => ({ id, name, status, reason }))))
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def modules() -> Path:
    """The folder that holds graphql-http; it is fetched from npm once, into the user's cache."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("graphql-http: no Node.js with npm")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mallcore"
    found = caches / f"graphql-http-{VERSION}" / "node_modules"
    if not (found / "graphql-http").is_dir():
        caches.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=caches, ignore_cleanup_errors=True) as folder:
            words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", f"{folder}/fetched"]
            wanted = [f"graphql-http@{VERSION}", "graphql@16"]
            done = subprocess.run([*words, *wanted], capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                pytest.skip(f"graphql-http: npm could not fetch it: {done.stderr[-300:]}")
            with contextlib.suppress(OSError):  # another process was first
                Path(folder, "fetched").rename(found.parent)
    return found


def _fastapi(mall: Mall) -> AbstractContextManager[str]:
    from fastapi import FastAPI

    from mallcore.adapters.fastapi import install

    app = FastAPI()
    install(app, mall, authenticate, prefix="/mall")
    return uvicorn_serving(app)


def _flask(mall: Mall) -> AbstractContextManager[str]:
    from flask import Flask

    from mallcore.adapters.flask import mall_blueprint

    app = Flask(__name__)
    app.register_blueprint(mall_blueprint(mall, authenticate), url_prefix="/mall")
    return werkzeug_serving(app)


@pytest.mark.parametrize("serve", [_fastapi, _flask], ids=["fastapi", "flask"])
def test_every_audit_is_passed(
    serve: Callable[[Mall], AbstractContextManager[str]], mall: Mall, modules: Path, tmp_path: Path
) -> None:
    """What GraphQL over HTTP must, should and may do, it does: on FastAPI with uvicorn and on Flask with werkzeug."""
    (tmp_path / "audits.mjs").write_text(SCRIPT)
    (tmp_path / "node_modules").symlink_to(modules)
    with serve(mall) as url:
        words = ["node", str(tmp_path / "audits.mjs"), f"{url}/mall/graphql"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    audits: list[dict[str, Any]] = json.loads(done.stdout)
    assert [one for one in audits if one["status"] != "ok"] == []
    assert len(audits) == 61
