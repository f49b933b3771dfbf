"""144 real book covers: up, drawn small, replaced, pictured, rolled back, linked, and what is left over collected."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from mallcore import attachments, structure
from mallcore.attachments import Derivative, Version
from mallcore.backends.pillow import Pillow
from tests.attachments.storehouse import ME, Storehouse

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
RECIPES = ("small", "tile")
REPLACED = 24  # of them get a second version


@pytest.fixture(scope="module")
def covers(shared: Path) -> dict[str, bytes]:
    """The covers by file name, in order."""
    archive = shared / "products" / "oscar-book-images.tar.gz"
    found = archive if archive.is_file() else shared / "data" / "products" / archive.name
    if not found.is_file():
        pytest.skip(f"book covers: no file {archive.name} in the shared test data")
    with tarfile.open(found) as packed:
        files = sorted((member for member in packed if member.isfile()), key=lambda member: member.name)
        return {Path(one.name).name: BytesIO(packed.extractfile(one).read()).getvalue() for one in files}  # type: ignore[union-attr]


class Shop(Storehouse):
    """A bookshop whose products have covers."""

    def __init__(self, folder: Path) -> None:
        objects = (folder / "objects").as_uri()
        super().__init__(f"sqlite:///{folder / 'mall.db'}", objects, plugins=[Pillow(isolated=False)])
        self.categories: dict[str, str] = {}

    def hang(self, name: str, content: bytes, attachment: str | None = None) -> Version:
        """A product's cover, which its category shows."""
        isbn = name.partition(".")[0]
        with self.mall.begin(ME) as ctx:
            version = attachments.upload_file(
                ctx, file=content, file_name=name, owner=f"product:{isbn}", slot="image", attachment=attachment,
                sha256=sha256(content).hexdigest(), size=len(content),
            )  # fmt: skip
            if name not in self.categories:
                made = structure.create_category(ctx, channel="books", name=isbn, attributes={"cover": version.ref})
                self.categories[name] = made.id
            else:
                structure.update_node(
                    ctx, channel="books", node=self.categories[name], attributes={"cover": version.ref}
                )
        return version

    def draw(self, ref: str, recipe: str) -> Derivative:
        """A derivative."""
        made: Derivative = self.do("derivative", version=ref, recipe=recipe)
        return made

    def shown(self, name: str) -> str:
        """The version that a product's category refers to."""
        with self.mall.begin(ME) as ctx:
            node = structure.get_node(ctx, channel="books", node=self.categories[name]).shape
        return str((node.attributes or {})["cover"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    found = Shop(tmp_path_factory.mktemp("covers"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def first(shop: Shop, covers: dict[str, bytes]) -> dict[str, Version]:
    """The first version of each cover."""
    return {name: shop.hang(name, content) for name, content in covers.items()}


@pytest.mark.slow
def test_covers_go_through_everything(shop: Shop, covers: dict[str, bytes], first: dict[str, Version]) -> None:
    """From the upload to the collection: every version that was ever shown reads back, byte for byte."""
    assert len(covers) == 144
    uploaded(shop, covers, first)
    made = {(name, recipe): shop.draw(one.ref, recipe) for name, one in first.items() for recipe in RECIPES}
    drawn(shop, first, made)
    second = replaced(shop, covers, first)
    pictured_then(shop, covers, first, second)
    rolled_back(shop, first, second)
    linked(shop, covers, first)
    collected(shop, covers, first, second, made)


def uploaded(shop: Shop, covers: dict[str, bytes], first: dict[str, Version]) -> None:
    """Each is what it is, as large as it is, and lies in the store once however often its content is there."""
    for name, content in covers.items():
        version, image = first[name], Image.open(BytesIO(content))
        assert (version.width, version.height) == image.size
        assert version.detected_type == Image.MIME[image.format]
        assert version.digest == sha256(content).hexdigest()
    assert len(shop.keys()) == len(set(covers.values()))


def drawn(shop: Shop, first: dict[str, Version], made: dict[tuple[str, str], Derivative]) -> None:
    """Each in two recipes, of the size that was asked for; the same from a process of its own."""
    for (name, recipe), one in made.items():
        with shop.mall.begin(ME) as ctx, attachments.open_derivative(ctx, version=one.version, recipe=recipe) as stream:
            content = stream.read()
        assert sha256(content).hexdigest() == one.digest
        image = Image.open(BytesIO(content))
        assert image.format == "WEBP"
        assert image.size == (320, 320) if recipe == "tile" else max(image.size) <= 160
        assert shop.draw(first[name].ref, recipe) == one
    assert len(shop.rows("mall_attachment_derivative")) == len({(one.digest) for one in first.values()}) * len(RECIPES)
    apart(shop, made)


def apart(shop: Shop, made: dict[tuple[str, str], Derivative]) -> None:
    """A few are drawn again, isolated, by another mall: the bytes are the same."""
    from tempfile import TemporaryFile

    from mallcore.attachments.rules.inspection import examined
    from mallcore.attachments.rules.recipes import parsed_recipe

    for one in list(made.values())[:6]:
        with TemporaryFile() as source, TemporaryFile() as out:
            source.write(shop.read(one.version))
            size = source.tell()
            source.seek(0)
            Pillow().make(source, examined(source, size), parsed_recipe(one.recipe), out)
            out.seek(0)
            assert sha256(out.read()).hexdigest() == one.digest


def replaced(shop: Shop, covers: dict[str, bytes], first: dict[str, Version]) -> dict[str, Version]:
    """Some get the next one's cover, after a snapshot; the label moves, the old version stays."""
    with shop.mall.begin(ME) as ctx:
        structure.create_snapshot(ctx, name="spring", channels=["books"])
    names = list(covers)
    second = {
        name: shop.hang(name, covers[names[number + 1]] + b"\0", first[name].attachment)
        for number, name in enumerate(names[:REPLACED])
    }
    for name, version in second.items():
        assert version.ref == f"{first[name].attachment}@2"
        assert shop.shown(name) == version.ref
        live = shop.do("get_version", version=f"{version.attachment}@live")
        assert live.ref == version.ref
        moves = shop.do("label_history", attachment=version.attachment, label="live").items
        assert [move.n for move in moves] == [2, 1]
    return second


def pictured_then(shop: Shop, covers: dict[str, bytes], first: dict[str, Version], second: dict[str, Version]) -> None:
    """What the snapshot showed can be fetched again, by its name."""
    for name in second:
        then = shop.do("get_version", version=f"{first[name].attachment}@live", at="spring")
        assert then.ref == first[name].ref
        assert shop.read(then.ref) == covers[name]


def rolled_back(shop: Shop, first: dict[str, Version], second: dict[str, Version]) -> None:
    """The structure goes back, and with it what its nodes refer to."""
    with shop.mall.begin(ME) as ctx:
        revision = structure.get_channel(ctx, channel="books").revision
        structure.rollback(ctx, channel="books", to=revision - len(second))
    for name in second:
        assert shop.shown(name) == first[name].ref


def linked(shop: Shop, covers: dict[str, bytes], first: dict[str, Version]) -> None:
    """A link opens to the very bytes, and to those of a derivative."""
    for name, version in list(first.items())[:20]:
        small = shop.draw(version.ref, "small")
        with shop.mall.begin(ME) as ctx:
            links = [attachments.link(ctx, version=version.ref, to="anyone", derivative=recipe)
                     for recipe in (None, small.derivative)]  # fmt: skip
        found = []
        for link in links:
            with shop.mall.begin(ME) as ctx:
                delivered = attachments.deliver_link(ctx, token=link.token, via="proxy")
                assert delivered.body is not None
                with delivered.body as body:
                    found.append(sha256(body.read()).hexdigest())
        assert found == [sha256(covers[name]).hexdigest(), small.digest]


def collected(
    shop: Shop,
    covers: dict[str, bytes],
    first: dict[str, Version],
    second: dict[str, Version],
    made: dict[tuple[str, str], Derivative],
) -> None:
    """The collector takes what was staged and left, and nothing that anybody refers to."""
    before = shop.keys()
    shop.stage(b"left behind")
    assert len(shop.keys()) == len(before) + 1
    shop.collect_later()
    assert shop.keys() == before
    shop.check(*first.values(), *second.values())
    assert {sha256(content).hexdigest() for content in shop.contents()} == (
        {version.digest for version in (*first.values(), *second.values())} | {one.digest for one in made.values()}
    )
    assert all(shop.read(first[name].ref) == content for name, content in covers.items())
