"""What answers like clamd: a real one where it is installed, else a small server that speaks its protocol."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEST_VIRUS = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The string by which every scanner shows that it works; harmless."""
LIMIT = 1 << 20  # bytes that either takes


class Speaking:
    """A server of the commands VERSION and INSTREAM, each in a connection; ``answer`` may be changed by a test."""

    def __init__(self, family: socket.AddressFamily, where: tuple[str, int] | str) -> None:
        self.heard: list[bytes] = []
        self.answer: Callable[[socket.socket, bytes], None] = say
        self._listening = socket.socket(family, socket.SOCK_STREAM)
        self._listening.bind(where)
        self._listening.listen(16)
        self.name = self._listening.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(10)
                self._speak(connection)

    def _speak(self, connection: socket.socket) -> None:
        command = _until_zero(connection)
        if command == b"zVERSION":
            connection.sendall(b"ClamAV 1.4.1/27000/Tue Nov 24 09:00:00 2026\0")
        elif command == b"zINSTREAM":
            content = b""
            while size := int.from_bytes(_exactly(connection, 4), "big"):
                content += _exactly(connection, size)
                if len(content) > LIMIT:
                    connection.sendall(b"INSTREAM size limit exceeded. ERROR\0")
                    return
            self.heard.append(content)
            self.answer(connection, content)
        else:
            connection.sendall(b"UNKNOWN COMMAND\0")

    def stop(self) -> None:
        """No longer answer."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)


def say(connection: socket.socket, content: bytes) -> None:
    """The verdict that clamd gives."""
    connection.sendall(b"stream: Eicar-Signature FOUND\0" if TEST_VIRUS in content else b"stream: OK\0")


def _until_zero(connection: socket.socket) -> bytes:
    said = b""
    while not said.endswith(b"\0"):
        said += _exactly(connection, 1)
    return said[:-1]


def _exactly(connection: socket.socket, count: int) -> bytes:
    said = b""
    while len(said) < count:
        piece = connection.recv(count - len(said))
        if not piece:
            raise ConnectionError("the client has gone")
        said += piece
    return said


@contextmanager
def answering(folder: Path) -> Iterator[str]:
    """The address of a real clamd with one signature of its own, or of the small server."""
    program = shutil.which("clamd")
    path = folder / "clamd.sock"
    if program is None:
        server = Speaking(socket.AF_UNIX, str(path))
        try:
            yield f"unix://{path}"
        finally:
            server.stop()
        return
    (folder / "own.ndb").write_text(f"Eicar-Signature:0:*:{TEST_VIRUS.hex()}\n")
    settings = f"LocalSocket {path}\nDatabaseDirectory {folder}\nForeground yes\nStreamMaxLength {LIMIT}\n"
    (folder / "clamd.conf").write_text(settings)
    running = subprocess.Popen([program, "-c", str(folder / "clamd.conf")], stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            if path.exists():
                break
            time.sleep(0.1)
        yield f"unix://{path}"
    finally:
        running.terminate()
        running.wait(20)
