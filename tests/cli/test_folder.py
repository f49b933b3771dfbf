"""The folder of a mall: made by `init`, found by --mall, MALLCORE_MALL or where one stands; and its secrets kept."""

import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from mallcore import migrations
from mallcore.adapters.cli.folder import settings_text
from mallcore.settings import MallSettings
from tests.cli.typing_in import Typed, type_in

SECRET = "postgresql://shop:sesame@127.0.0.1:1/mall?password=sesame"


def test_init_makes_a_mall_that_opens(tmp_path: Path) -> None:
    """`init` makes the folder, the settings and the database, and says where they are."""
    done = type_in("--json", "init", "--mall", str(tmp_path / "a" / "b")).json
    assert done["database"].startswith("sqlite:///")
    assert done["schema"] == migrations.VERSION
    assert (tmp_path / "a" / "b" / "mall.db").is_file()
    assert type_in("channels", "list", "--json", "--mall", str(tmp_path / "a" / "b")).json == {
        "items": [],
        "next": None,
    }


def test_the_settings_file_is_valid_and_explains_itself(folder: Path) -> None:
    """Every setting stands in mall.toml with what it means; only what was chosen is set."""
    text = (folder / "mall.toml").read_text()
    chosen = tomllib.loads(text)
    assert len(chosen.pop("secret")) > 40
    assert chosen == {"database": "sqlite:///mall.db"}
    assert stat.S_IMODE((folder / "mall.db").stat().st_mode) == 0o600
    for name, setting in MallSettings.model_fields.items():
        assert f"# {setting.description}\n" in text
        assert f"{name} = " in text


def test_a_commented_setting_can_be_uncommented() -> None:
    """Each commented line is TOML that mallcore accepts."""
    lines = [
        line.removeprefix("# ") for line in settings_text({}).splitlines() if " = " in line and line.startswith("#")
    ]
    MallSettings(**tomllib.loads("\n".join(lines)))


def test_init_keeps_the_urls_it_is_given(tmp_path: Path) -> None:
    """--database and --objects are written down, whatever characters they hold."""
    given = {"database": "sqlite:///a \"quoted\" 'name'.db", "objects": "file:C:\\objects"}
    done = type_in("init", "--mall", str(tmp_path), "--database", given["database"], "--objects", given["objects"])
    assert done.code == 0, done.err
    written = tomllib.loads((tmp_path / "mall.toml").read_text())
    assert written == given | {"secret": written["secret"]}


def test_init_overwrites_nothing(folder: Path) -> None:
    """A folder that holds a mall is refused, and left as it is."""
    before = (folder / "mall.toml").read_bytes()
    error = type_in("init", "--json", "--mall", str(folder), "--database", "sqlite:///other.db").error
    assert error["code"] == "already-exists"
    assert "--mall" in error["message"]
    assert (folder / "mall.toml").read_bytes() == before
    assert not (folder / "other.db").exists()


def test_init_refuses_a_place_it_cannot_write(tmp_path: Path) -> None:
    """A file where the folder should be is named, and no database is made."""
    (tmp_path / "file").touch()
    error = type_in("init", "--json", "--mall", str(tmp_path / "file")).error
    assert error["code"] == "invalid-input"
    assert "can't be written" in error["message"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_init_refuses_a_read_only_folder(tmp_path: Path) -> None:
    """A folder without the right to write is named."""
    tmp_path.chmod(0o500)
    assert type_in("init", "--json", "--mall", str(tmp_path)).error["code"] == "invalid-input"


def test_a_failed_init_leaves_no_settings(tmp_path: Path) -> None:
    """When the database can't be had there is no mall.toml: a folder with one has a mall that opens."""
    done = type_in("init", "--mall", str(tmp_path), "--database", SECRET)
    assert done.code == 1
    assert "can't be reached" in done.err
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """A password in a URL is printed nowhere, and the file that holds it is its owner's alone."""
    for words in (["init"], ["init", "--json"], ["demo", "--no-serve", "--dir", str(tmp_path / "d")]):
        done = type_in(*words, "--mall", str(tmp_path / "m"), "--database", SECRET)
        assert done.code == 1
        assert "sesame" not in done.out + done.err
    assert type_in("init", "--mall", str(tmp_path)).code == 0
    assert stat.S_IMODE((tmp_path / "mall.toml").stat().st_mode) == 0o600
    (tmp_path / "mall.toml").write_text(f'database = "{SECRET}"')
    for words in (["channels", "list"], ["db", "status"], ["doctor"], ["doctor", "--json"], ["serve", "--port", "0"]):
        done = type_in(*words, "--mall", str(tmp_path))
        assert done.code == 1
        assert "sesame" not in done.out + done.err


@pytest.mark.parametrize("url", ["blah", "mongodb://somewhere/x", ""])
def test_a_url_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    """The setting is named, and what one looks like."""
    assert type_in("init", "--json", "--mall", str(tmp_path), "--database", url).error["code"] == "invalid-settings"


def test_the_folder_is_found_in_every_way(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--mall before the command, within it and behind it; the variable; and the folder one is in."""
    named = ["--mall", str(folder)]
    ask = ["structure", "snapshot", "list", "--json"]
    for words in ([*named, *ask], [ask[0], *named, *ask[1:]], [*ask, *named], [*ask[:2], *named, *ask[2:]]):
        assert type_in(*words).json["items"] == []
    monkeypatch.chdir(tmp_path)
    assert type_in(*ask).error["code"] == "not-found"
    monkeypatch.setenv("MALLCORE_MALL", str(folder))
    assert type_in(*ask).json["items"] == []
    assert type_in(*ask, "--mall", str(tmp_path)).error["code"] == "not-found"
    monkeypatch.delenv("MALLCORE_MALL")
    monkeypatch.chdir(folder)
    assert type_in(*ask).json["items"] == []


def test_the_nearer_folder_wins(folder: Path, tmp_path: Path) -> None:
    """--mall behind the command is stronger than --mall before it."""
    assert type_in("--mall", str(tmp_path), "channels", "list", "--json", "--mall", str(folder)).json["items"] == []


@pytest.mark.parametrize("where", [".", "missing"])
def test_a_folder_that_is_no_mall_is_left_alone(where: str, tmp_path: Path) -> None:
    """No database is made where nobody asked for one; the message says how to make a mall."""
    for words in (["channels", "list"], ["serve"], ["db", "upgrade"], ["db", "status"]):
        done = type_in(*words, "--mall", str(tmp_path / where))
        assert done.code == 1
        assert "--mall" in done.err
        assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_environment_can_name_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MALLCORE_DATABASE says which database, no mall.toml is needed; `init` does not write it down."""
    monkeypatch.setenv("MALLCORE_DATABASE", f"sqlite:///{tmp_path}/other.db")
    assert type_in("channels", "list", "--json", "--mall", str(tmp_path)).json["items"] == []
    assert type_in("init", "--mall", str(tmp_path)).code == 0
    assert list(tomllib.loads((tmp_path / "mall.toml").read_text())) == ["secret"]
    assert not (tmp_path / "mall.db").exists()


def test_broken_settings_are_named(folder: Path, cli: Callable[..., Typed]) -> None:
    """A settings file that is no TOML, or sets what there is not, says so."""
    for text, said in (("database = ", "mall.toml"), ("databse = 1", "databse"), ("pool_size = 0", "pool_size")):
        (folder / "mall.toml").write_text(text)
        error = cli("channels", "list", "--json").error
        assert error["code"] == "invalid-settings"
        assert said in error["message"]


def test_the_database_is_brought_up_to_date(folder: Path, cli: Callable[..., Typed]) -> None:
    """`db status` tells without changing anything; `db upgrade` makes the schema, and does nothing twice."""
    (folder / "mall.db").unlink()
    status = cli("db", "status", "--json")
    assert (status.code, status.out.count('"schema": 0')) == (1, 1)
    assert cli("db", "upgrade", "--json").json["changed"] is True
    assert cli("db", "upgrade", "--json").json["changed"] is False
    assert cli("db", "status", "--json").json == {
        "schema": migrations.VERSION,
        "newest": migrations.VERSION,
        "state": "up to date",
    }


def test_a_newer_database_is_refused(folder: Path, cli: Callable[..., Typed]) -> None:
    """A database this version can't use says: upgrade the package; nothing touches it."""
    import sqlite3

    with sqlite3.connect(folder / "mall.db") as connection:
        connection.execute("UPDATE mall_schema SET version = 99, oldest = 99")
    connection.close()
    for words in (["channels", "list"], ["db", "upgrade"], ["serve", "--port", "0"]):
        assert cli(*words, "--json").error["code"] == "database-too-new"
    assert "upgrade the mallcore package" in cli("db", "status").out
    doctor = cli("doctor")
    assert (doctor.code, doctor.out.count("FAIL")) == (1, 1)


def test_a_newer_database_that_can_be_used_is_used(folder: Path, cli: Callable[..., Typed]) -> None:
    """During a rolling deployment the old version works on the new schema, and says that it is newer."""
    import sqlite3

    with sqlite3.connect(folder / "mall.db") as connection:
        connection.execute("UPDATE mall_schema SET version = 99")
    connection.close()
    assert cli("db", "status", "--json").json["state"] == "newer, and usable"
    assert cli("channels", "list", "--json").json["items"] == []


def test_a_database_that_cannot_be_written_says_so(folder: Path, cli: Callable[..., Typed]) -> None:
    """Reading goes on; a change is refused by a typed error; `doctor` names it with the way out."""
    assert cli("channels", "create", "books", "--name", "Books").code == 0
    (folder / "mall.toml").write_text(f'database = "sqlite:///file:{folder}/mall.db?mode=ro&uri=true"')
    assert cli("structure", "log", "--json").json["items"] == []
    assert cli("structure", "create", "X", "--json").error["code"] == "database-read-only"
    doctor = cli("doctor")
    assert doctor.code == 1
    assert "right to write" in doctor.out
