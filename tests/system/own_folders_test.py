import json
import os
import pathlib

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.system import own_folders, part_folders


def make(path, *names, what="report"):
    with own_folders.made_folder(path, what) as folder:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"ours {len(names)}")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != own_folders.LIST
    }


def test_a_folder_is_new_or_empty_or_replaced_when_that_is_asked(tmp_path):
    report = tmp_path / "deep" / "report"
    own_folders.require_own(report, "report", overwrite=False)
    make(report, "index.html", "assets/a.css")
    with pytest.raises(InputError, match="must be a new or empty folder, or --over"):
        own_folders.require_own(report, "report", overwrite=False)
    own_folders.require_own(report, "report", overwrite=True)
    make(report, "index.html")
    assert contents(report) == {"index.html": "ours 1"}
    assert [path.name for path in report.parent.iterdir()] == ["report"]
    (tmp_path / "empty").mkdir()
    own_folders.require_own(tmp_path / "empty", "report", overwrite=False)
    make(tmp_path / "empty", "index.html")


@pytest.mark.parametrize("name", ["thesis.tex", "tracks/song.wav", ".hidden", "a/link"])
def test_a_folder_with_a_file_of_the_users_is_not_replaced(tmp_path, name):
    make(tmp_path / "r", "index.html", "tracks/1.js")
    path = tmp_path / "r" / name
    path.parent.mkdir(exist_ok=True)
    if name.endswith("link"):
        path.symlink_to("nowhere")
    else:
        path.write_text("mine")
    for place in (tmp_path / "r", tmp_path / "r" / ".." / "r"):
        with pytest.raises(InputError, match=f"holds other files, such as {name}"):
            make(place, "index.html")
    assert os.path.lexists(path)
    assert contents(tmp_path / "r")["index.html"] == "ours 2"


@pytest.mark.parametrize(
    "told",
    [
        None,
        "no JSON",
        json.dumps(["index.html"]),
        json.dumps({"made_by": "waveunet", "what": "SavedModel", "files": ["a"]}),
        json.dumps({"made_by": "somebody", "what": "report", "files": ["index.html"]}),
        json.dumps({"made_by": "waveunet", "what": "report", "files": 1}),
        json.dumps({"made_by": "waveunet", "what": "report", "files": [["a"], "x"]}),
    ],
)
def test_a_web_site_is_no_report(tmp_path, told):
    for name in ("index.html", "assets/style.css", "tracks/song.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    if told is not None:
        (tmp_path / own_folders.LIST).write_text(told)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="--overwrite replaces a report only, but"):
        make(tmp_path, "index.html")
    assert contents(tmp_path) == before


def test_a_list_leads_to_no_file_outside(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "r" / "inside").symlink_to(tmp_path)
    told = {"made_by": "waveunet", "what": "report"}
    told["files"] = ["../victim", str(tmp_path / "victim"), "inside", "inside/victim"]
    (tmp_path / "r" / own_folders.LIST).write_text(json.dumps(told))
    make(tmp_path / "r", "index.html")
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_failure_leaves_the_old_folder(tmp_path, monkeypatch):
    make(tmp_path / "r", "old")
    with pytest.raises(KeyError), own_folders.made_folder(tmp_path / "r", "report"):
        raise KeyError
    rename = os.rename

    def fail(source, target):
        if pathlib.Path(source).parent.name.startswith(".part-"):
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="no"):
        make(tmp_path / "r", "new")
    assert contents(tmp_path / "r") == {"old": "ours 1"}
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_signal_after_any_step_leaves_one_whole_folder(tmp_path, monkeypatch, number):
    make(tmp_path / "r", "old")
    rename, done = os.rename, []

    def interrupted(source, target):
        rename(source, target)
        done.append(target)
        if len(done) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "r", "new")
    name = {1: "old", 2: "new"}[number]
    assert contents(tmp_path / "r") == {name: "ours 1"}
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_the_old_files_go_after_the_new_ones_are_in_their_place(tmp_path, monkeypatch):
    make(tmp_path / "r", "a", "b")
    unlink, seen = pathlib.Path.unlink, []

    def watched(path, *args, **kwargs):
        seen.append(contents(tmp_path / "r"))
        unlink(path, *args, **kwargs)

    monkeypatch.setattr(pathlib.Path, "unlink", watched)
    make(tmp_path / "r", "a")
    assert seen and all(found == {"a": "ours 1"} for found in seen)


def test_a_file_that_comes_meanwhile_is_kept(tmp_path, monkeypatch, caplog):
    make(tmp_path / "r", "a")
    rename = os.rename

    def slow(source, target):
        if pathlib.Path(source) == tmp_path / "r":
            (tmp_path / "r" / "late").write_text("mine")
        rename(source, target)

    monkeypatch.setattr(os, "rename", slow)
    make(tmp_path / "r", "a", "b")
    assert contents(tmp_path / "r") == {"a": "ours 2", "b": "ours 2"}
    (kept,) = tmp_path.glob("r.old-*")
    assert contents(kept) == {"late": "mine"}
    assert str(kept) in caplog.text
    part_folders.sweep(tmp_path)
    assert kept.exists()


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for count in (1, 2):
        make(tmp_path / "link", *"ab"[:count])
        assert (tmp_path / "link").is_symlink()
        assert len(contents(tmp_path / "real")) == count


def test_a_file_in_the_folders_place_is_never_replaced(tmp_path):
    file = tmp_path / "index.html"
    file.write_text("mine")
    with pytest.raises(InputError, match="must be a new file, or --overwrite"):
        own_folders.require_own(file, "report", overwrite=False)
    with pytest.raises(InputError, match=f"^{file}: --overwrite replaces a report"):
        own_folders.require_own(file, "report", overwrite=True)
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(InputError, match="dangling: --overwrite replaces a report"):
        own_folders.require_own(tmp_path / "dangling", "report", overwrite=True)


def test_errors_name_the_final_folder(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        with own_folders.made_folder(tmp_path / "r", "report") as folder:
            (folder / "no" / "x").write_text("")
    assert error.value.filename == str(tmp_path / "r" / "no" / "x")


def test_a_folder_of_known_files_goes_and_another_does_not(tmp_path):
    for name in ("vocals.wav", "mine"):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_text("")
    with pytest.raises(InputError, match="holds other files, such as mine"):
        own_folders.remove_files(tmp_path / "a", ["vocals.wav", "mixture.wav"])
    (tmp_path / "a" / "mine").unlink()
    own_folders.remove_files(tmp_path / "a", ["vocals.wav", "mixture.wav"])
    assert not (tmp_path / "a").exists()
