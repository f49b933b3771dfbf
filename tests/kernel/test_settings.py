"""Settings: where they come from, what is refused, and that secrets stay secret."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest

from mallcore import Mall, Principal, structure
from mallcore.errors import InvalidSettings, MallError, MissingExtra
from mallcore.settings import MallSettings

SECRET = "s3cr3t-pa55"
URL = f"postgresql://keeper:{SECRET}@127.0.0.1:1/mall"


def written(folder: Path, text: str) -> Path:
    """The folder, with this `mall.toml` in it."""
    (folder / "mall.toml").write_text(text, encoding="utf-8")
    return folder


def test_arguments_come_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    """The nearest source wins, setting by setting; what nobody says is the default."""
    folder = written(tmp_path, 'pool_size = 3\nbusy_seconds = 3\nidempotency_days = 3\npartitions = "hash"\n')
    environment = {"MALLCORE_POOL_SIZE": "2", "MALLCORE_BUSY_SECONDS": "2"}
    found = MallSettings.load(folder, environment, pool_size=1)
    assert (found.pool_size, found.busy_seconds, found.idempotency_days) == (1, 2, 3)
    assert (found.partitions, found.migrate, found.follow) == ("hash", "auto", True)


def test_an_argument_of_none_is_not_given(tmp_path: Path) -> None:
    """``None`` leaves the word to the environment and the file."""
    assert MallSettings.load(written(tmp_path, "pool_size = 3\n"), {}, pool_size=None).pool_size == 3


def test_the_environment_may_hold_names_of_others() -> None:
    """`MALLCORE_` names that are no settings belong to somebody else."""
    assert MallSettings.load(None, {"MALLCORE_SHARED": "/data", "MALLCORE_MALL": "x"}).pool_size == 10


def test_without_a_folder_no_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `mall.toml` that lies about counts only for who names its folder."""
    monkeypatch.chdir(written(tmp_path, "pool_size = 3\n"))
    assert MallSettings.load(None, {}).pool_size == 10
    assert MallSettings.load(Path(), {}).pool_size == 3


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("pool_size = 0\n", "pool_size"),
        ('pool_size = "many"\n', "pool_size"),
        ('migrate = "sometimes"\n', "migrate"),
        ("busy_seconds = -1\n", "busy_seconds"),
        ("busy_seconds = nan\n", "busy_seconds"),
        ("poll_seconds = inf\n", "poll_seconds"),
        ("database = 7\n", "database"),
        ("databse = 'sqlite:///x.db'\n", "databse"),
        ("[database]\nurl = 'sqlite:///x.db'\n", "database"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, setting: str) -> None:
    """What can't be set so is refused, and the error names it."""
    with pytest.raises(InvalidSettings) as refused:
        MallSettings.load(written(tmp_path, text), {})
    assert refused.value.setting == setting
    assert setting in str(refused.value)


@pytest.mark.parametrize("content", [b"pool_size = \n", b"= 3", b"pool_size = 3\npool_size = 4\n", b"# \xff\xfe\n"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    """A broken `mall.toml` is refused by its path."""
    (tmp_path / "mall.toml").write_bytes(content)
    with pytest.raises(InvalidSettings, match=r"mall\.toml"):
        MallSettings.load(tmp_path, {})


@pytest.mark.parametrize("url", ["", "mall.db", "sqlite", "://", "sqlite//x", f"postgresql://a:{SECRET}@h:port/x"])
def test_what_is_no_url_is_refused(url: str, tmp_path: Path) -> None:
    """A database that is no URL is refused by the name of the setting, and is not repeated in the error."""
    with pytest.raises(InvalidSettings) as refused:
        Mall.open(url, folder=tmp_path)
    assert refused.value.setting == "database"
    assert SECRET not in str(refused.value) + repr(refused.value.details)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nonsense", "sqlite+nonsense", "postgresql+nonsense"])
def test_an_unknown_driver_is_refused(name: str, tmp_path: Path) -> None:
    """A driver SQLAlchemy does not know is refused by its name."""
    with pytest.raises(InvalidSettings, match="nonsense") as refused:
        Mall.open(f"{name}://keeper:{SECRET}@host/mall", folder=tmp_path)
    assert SECRET not in str(refused.value) + repr(refused.value.details)


def test_a_driver_that_is_not_installed_is_told_from_an_unknown_one(tmp_path: Path) -> None:
    """A driver that exists and is missing is refused as a missing package."""
    with pytest.raises(MissingExtra):
        Mall.open("postgresql+pg8000://host/mall", folder=tmp_path)


def test_a_database_nobody_serves_is_refused(tmp_path: Path) -> None:
    """An engine that no plug-in serves is refused by its kind."""
    with pytest.raises((InvalidSettings, MissingExtra)):
        Mall.open("oracle://host/mall", folder=tmp_path)


def test_an_unknown_plug_in_is_refused(tmp_path: Path) -> None:
    """A plug-in that is not installed is refused by name, and no database is left behind."""
    with pytest.raises(InvalidSettings, match="no-such-thing"):
        Mall.open("sqlite:///mall.db", folder=tmp_path, plugins=["no-such-thing"])
    assert list(tmp_path.iterdir()) == []


def test_settings_show_no_secret(tmp_path: Path) -> None:
    """A password in a URL is in no form the settings are shown, written or passed on in."""
    found = MallSettings.load(written(tmp_path, f'database = "{URL}"\nobjects = "s3://k:{SECRET}@bucket"\n'), {})
    shown = f"{found} {found!r} {found.model_dump()} {found.model_dump_json()} {found.__dict__}"
    assert SECRET not in shown
    assert found.database.get_secret_value() == URL


def test_a_database_out_of_reach_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """What is raised and logged of a database that does not answer holds no password."""
    with caplog.at_level(logging.DEBUG), pytest.raises(MallError) as refused:
        Mall.open(URL, migrate="always")
    assert SECRET not in f"{refused.value} {refused.value!r} {refused.value.details} {caplog.text}"
    assert SECRET not in str(pickle.dumps(refused.value))


def test_a_mall_shows_no_secret(database_url: str) -> None:
    """The mall says which database it is on, without the password."""
    with Mall.open(database_url, migrate="always") as mall:
        assert repr(mall).startswith("<Mall on ")
        mall.engine.url = mall.engine.url.set(username="keeper", password=SECRET)
        assert SECRET not in repr(mall)
        assert SECRET not in repr(mall.settings)


def test_a_relative_database_lies_in_the_malls_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``sqlite:///mall.db`` means the folder that was given, wherever the process stands."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = written(tmp_path / "there", 'database = "sqlite:///shop.db"\n')
    with Mall.open(folder=folder) as mall, mall.begin(Principal.system()) as ctx:
        assert structure.list_channels(ctx).items == []
    assert (folder / "shop.db").is_file()
    assert list((tmp_path / "here").iterdir()) == []


def test_never_means_never(tmp_path: Path) -> None:
    """With ``migrate="never"`` an empty database is refused as not ready and stays empty."""
    with pytest.raises(MallError) as refused:
        Mall.open("sqlite:///mall.db", folder=tmp_path, migrate="never")
    assert refused.value.code == "database-not-ready"
    with Mall.open("sqlite:///mall.db", folder=tmp_path) as mall:
        assert mall.upgrade() > 0
