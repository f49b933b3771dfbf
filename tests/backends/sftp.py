"""A real SFTP server for tests, in a thread of this process: asyncssh on a free loopback port."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, Self


class SftpServer:
    """``with SftpServer(folder, user, password) as server:`` serves the folder at ``server.port``."""

    def __init__(self, folder: Path, user: str, password: str) -> None:
        self.folder, self._user, self._password = folder, user, password
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready, self._end = threading.Event(), asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        import asyncssh

        user, password = self._user, self._password
        guests: list[asyncssh.SSHServerConnection] = []

        class Door(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                guests.append(conn)

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, given: str) -> bool:
                return (username, given) == (user, password)

        def files(channel: Any) -> asyncssh.SFTPServer:
            return asyncssh.SFTPServer(channel, chroot=str(self.folder).encode())

        key = asyncssh.generate_private_key("ssh-ed25519")
        listener = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Door, server_host_keys=[key], sftp_factory=files
        )
        self.port = listener.get_port()
        self._ready.set()
        await self._end.wait()
        listener.close()
        for guest in guests:
            guest.abort()
            await guest.wait_closed()
        await listener.wait_closed()
