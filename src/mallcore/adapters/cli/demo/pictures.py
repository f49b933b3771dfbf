"""The demo's pictures: a banner that is replaced, and comes back with a rollback, byte for byte."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from mallcore import attachments, structure
from mallcore.adapters.cli.demo.changes import CHANNEL, Tour

_WIDTH, _HEIGHT = 640, 160
Colour = tuple[int, int, int]
DUSK: tuple[Colour, Colour] = ((36, 52, 84), (232, 168, 124))
SALE: tuple[Colour, Colour] = ((140, 20, 52), (250, 214, 80))


def banner(colours: tuple[Colour, Colour]) -> bytes:
    """A PNG of ours: one colour that becomes another from left to right."""
    left, right = colours
    steps = [x / (_WIDTH - 1) for x in range(_WIDTH)]
    row = bytes(round(a + (b - a) * step) for step in steps for a, b in zip(left, right, strict=True))
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress((b"\0" + row) * _HEIGHT, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def attach(tour: Tour) -> attachments.Version:
    """Hang a banner into the channel, and let a node refer to it."""
    told = """Pictures and files are attachments. Their bytes go to an object store before anything refers to them; a
    version never changes, and its reference (@1) is part of the node, so of every revision."""
    name = "banner-dusk.png"
    content = banner(DUSK)
    (Path(tour.folder) / name).write_bytes(content)
    command = f"mallcore attachments put {name} --owner channel:{CHANNEL} --slot banner"
    with tour.stage.step("Attach", told, command) as step:
        with step.timed():
            version = _put(tour, content, name, None)
        step.line(f"{version.ref}: {version.size:,} bytes, {version.detected_type}", "green")
        step.facts |= {"ref": version.ref, "digest": version.digest}
    return version


def replace(tour: Tour, first: attachments.Version, snapshot: str) -> None:
    """Replace the banner by a new version, after the snapshot."""
    told = """A new version takes the banner's place: the label `live` moves, the node refers to @2. The first version
    stays where it was: the snapshot shows it, for ever."""
    name = "banner-sale.png"
    content = banner(SALE)
    (Path(tour.folder) / name).write_bytes(content)
    command = f"mallcore attachments put {name} --owner channel:{CHANNEL} --slot banner --attachment {first.attachment}"
    with tour.stage.step("Replace", told, command) as step:
        with step.timed():
            version = _put(tour, content, name, first.attachment)
        with tour.mall.begin(tour.me) as ctx:
            then = attachments.get_version(ctx, version=f"{first.attachment}@live", at=snapshot)
        step.line(f"{version.ref}, live now; in the snapshot: {then.ref}", "green")
        step.facts["ref"] = version.ref


def came_back(tour: Tour, first: attachments.Version) -> str:
    """After the rollback: which version the node refers to, and whether its bytes are those of the first day."""
    with tour.mall.begin(tour.me) as ctx:
        view = structure.get_node(ctx, channel=CHANNEL, node=tour.plot.lost.id).shape
        ref = str((view.attributes or {}).get("banner"))
        with attachments.open_version(ctx, version=ref) as stream:
            same = stream.read() == banner(DUSK)
    return f"its banner is {ref} again, byte for byte" if same and ref == first.ref else f"its banner is {ref}"


def _put(tour: Tour, content: bytes, name: str, attachment: str | None) -> attachments.Version:
    with tour.mall.begin(tour.me) as ctx:
        version = attachments.upload_file(
            ctx, file=content, file_name=name, owner=f"channel:{CHANNEL}", slot="banner", attachment=attachment
        )
        node = structure.get_node(ctx, channel=CHANNEL, node=tour.plot.lost.id).shape
        attributes = {**(node.attributes or {}), "banner": version.ref}
        structure.update_node(ctx, channel=CHANNEL, node=node.id, attributes=attributes)
    return version
