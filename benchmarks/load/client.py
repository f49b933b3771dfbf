"""A client that sends GET requests without pause: ``wrk`` where it is installed, or a small one on asyncio."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from typing import NamedTuple

from benchmarks.load.servers import HOST
from benchmarks.measuring import Times

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


class Load(NamedTuple):
    """What one run measured: requests a second, and the median latency in seconds."""

    rate: float
    p50: float


def name() -> str:
    """Which client it is."""
    return "wrk" if shutil.which("wrk") else "asyncio client"


def load(port: int, path: str, headers: dict[str, str], status: int, connections: int, seconds: float) -> Load:
    """Send requests on so many connections for so long. A response of another status is an error."""
    if shutil.which("wrk"):
        return _wrk(port, path, headers, status, connections, seconds)
    return asyncio.run(_plain(port, path, headers, status, connections, seconds))


def _wrk(port: int, path: str, headers: dict[str, str], status: int, connections: int, seconds: float) -> Load:
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "--latency", *given]
    printed = subprocess.run([*command, f"http://{HOST}:{port}{path}"], capture_output=True, text=True, check=True)
    text = printed.stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p50 = re.search(r"50%\s+([\d.]+)(us|ms|s)", text)
    assert rate is not None, text
    assert p50 is not None, text
    return Load(float(rate[1]), float(p50[1]) * _UNITS[p50[2]])


async def _plain(
    port: int, path: str, headers: dict[str, str], status: int, connections: int, seconds: float
) -> Load:  # fmt: skip
    lines = [f"GET {path} HTTP/1.1", f"host: {HOST}", *(f"{name}: {value}" for name, value in headers.items())]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    ends = time.perf_counter() + seconds
    latencies: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        while (begin := time.perf_counter()) < ends:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            if int(head.split(" ", 2)[1]) != status:
                raise RuntimeError(head)
            length = re.search(r"content-length: (\d+)", head)
            if length is not None and status != 304:
                await reader.readexactly(int(length[1]))
            latencies.append(time.perf_counter() - begin)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return Load(len(latencies) / seconds, Times(tuple(latencies)).p50)
