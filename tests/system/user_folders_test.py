"""Where a user's own files lie, as the XDG Base Directory Specification has it."""

import pathlib

import pytest

from waveunet_tf.system import user_folders


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WAVEUNET_TF_CACHE", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_folders_lie_in_the_users_home(home):
    assert user_folders.cache_folder() == home / ".cache/waveunet_tf"
    assert user_folders.data_folder() == home / ".local/share/waveunet_tf"


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("XDG_CACHE_HOME", user_folders.cache_folder),
        ("XDG_DATA_HOME", user_folders.data_folder),
    ],
)
def test_base_directories_move_them_but_relative_and_empty_ones_do_not(
    monkeypatch, variable, folder
):
    default = folder()
    for value in ("", "here", "./here"):
        monkeypatch.setenv(variable, value)
        assert folder() == default
    monkeypatch.setenv(variable, "/elsewhere")
    assert folder() == pathlib.Path("/elsewhere/waveunet_tf")


def test_the_cache_may_have_a_folder_of_its_own(home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setenv("WAVEUNET_TF_CACHE", "~/here")
    assert user_folders.cache_folder() == home / "here"
    monkeypatch.setenv("WAVEUNET_TF_CACHE", "")
    assert user_folders.cache_folder() == pathlib.Path("/elsewhere/waveunet_tf")
