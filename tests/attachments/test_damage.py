"""Copies that were damaged behind the mall's back: nobody gets them for good ones."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mallcore import Mall, Principal, attachments, audit
from mallcore.errors import InvalidInput, StoreUnavailable

ME = Principal.system("test")
SIZES = [1, 1000, 1 << 18, (1 << 18) + 1, 700_000]


def damage_is_told() -> AbstractContextManager[object]:
    return pytest.raises(StoreUnavailable, match="damaged")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("at", [0, -1], ids=["first byte", "last byte"])
def test_a_damaged_copy_is_not_read_to_its_end(tmp_path: Path, size: int, at: int) -> None:
    """Whoever reads all of it gets an error, not other bytes; while it is sound he gets all of them."""
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    with Mall.open("sqlite://", objects=(tmp_path / "objects").as_uri()) as mall:
        with mall.begin(ME) as ctx:
            ref = attachments.upload_file(ctx, file=content, file_name="a.bin", owner="unit:main").ref
        with mall.begin(ME) as ctx, attachments.open_version(ctx, version=ref) as stream:
            assert stream.read() == content
        (kept,) = (path for path in (tmp_path / "objects").rglob("*.*") if path.is_file())
        damaged = bytearray(content)
        damaged[at] ^= 1
        kept.write_bytes(damaged)
        with mall.begin(ME) as ctx, attachments.open_version(ctx, version=ref) as stream, damage_is_told():
            stream.read()


@pytest.mark.parametrize("name", ["../x", "a\0b", "a/b", ""])
def test_a_refused_name_is_on_record(name: str) -> None:
    """Names that are no names are refused, and who tried is known."""
    with Mall.open("sqlite://", objects="memory://") as mall:
        with pytest.raises(InvalidInput), mall.begin(ME) as ctx:
            attachments.upload_file(ctx, file=b"x", file_name=name, owner="unit:main")
        with mall.begin(ME) as ctx:
            denied = audit.list_records(ctx, outcome="denied").items
        assert len(denied) == (1 if name in ("../x", "a/b") else 0)  # others are no call: the pipeline refuses them


@pytest.mark.parametrize("file", ["text", 7, None])
def test_what_is_no_file_is_refused(file: object) -> None:
    """Only bytes, and streams of bytes, are files."""
    with Mall.open("sqlite://", objects="memory://") as mall, mall.begin(ME) as ctx, pytest.raises(InvalidInput):
        attachments.stage(ctx, file=file, file_name="a", owner="unit:main")  # type: ignore[arg-type]
