import errno
import hashlib
import os
import pathlib
import subprocess
import sys

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.system import files


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "x.wav"
    with files.atomic_file(path) as part:
        assert part.suffix == ".wav"
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert names(tmp_path) == ["new", "new/folder", "new/folder/x.wav"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "x").write_text("old")
    with pytest.raises(KeyError):
        with files.atomic_file(tmp_path / "x") as part:
            part.write_text("new")
            raise KeyError
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_an_error_leaves_no_empty_folder_but_those_of_others(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(KeyError):
        with files.atomic_files([tmp_path / "a" / "b" / "x", tmp_path / "c" / "y"]):
            (tmp_path / "c" / "another's").write_text("")
            raise KeyError
    assert names(tmp_path) == ["a", "c", "c/another's"]


def test_several_files_appear_together_or_not_at_all(tmp_path):
    paths = [tmp_path / "a" / "x", tmp_path / "b" / "x"]
    with pytest.raises(FileNotFoundError):
        with files.atomic_files(paths) as (first, _):
            first.write_text("the other is not written")
    assert not paths[1].exists()
    with files.atomic_files(paths) as parts:
        for part in parts:
            part.write_text(str(part.parent.parent.name))
    assert [path.read_text() for path in paths] == ["a", "b"]


def test_a_link_in_the_place_of_a_temporary_name_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / f".part-{os.getpid()}-x").symlink_to(victim)
    with files.atomic_file(tmp_path / "x") as part:
        part.write_text("new")
    assert victim.read_text() == "kept"
    assert (tmp_path / "x").read_text() == "new"


def test_what_a_process_of_the_same_number_left_is_in_nobodys_way(tmp_path):
    (tmp_path / f".part-{os.getpid()}-x").mkdir()
    (tmp_path / f".part-{os.getpid()}-x" / "half").write_text("")
    with files.atomic_folder(tmp_path / "x") as part:
        (part / "whole").write_text("")
    with files.atomic_file(tmp_path / "y") as part:
        part.write_text("")
    assert (tmp_path / "x" / "whole").exists() and (tmp_path / "y").exists()


@pytest.mark.parametrize("reason", ["a folder", "an error", "no links", "Ctrl-C"])
def test_where_one_file_fails_all_are_as_they_were(tmp_path, monkeypatch, reason):
    paths = [tmp_path / name for name in ("old", "new", "last")]
    paths[0].write_text("as it was")
    paths[0].chmod(0o640)
    replace = os.replace

    def fail(source, target):
        if pathlib.Path(target) == paths[2]:
            raise KeyboardInterrupt if reason == "Ctrl-C" else OSError("no")
        replace(source, target)

    if reason == "a folder":
        paths[2].mkdir()
    else:
        monkeypatch.setattr(os, "replace", fail)
    if reason == "no links":
        monkeypatch.delattr(os, "link")
        monkeypatch.setattr(os, "link", lambda *args, **_: fail(0, paths[2]), False)
    with pytest.raises((OSError, KeyboardInterrupt)):
        with files.atomic_files(paths) as parts:
            for part in parts:
                part.write_text("new")
    assert paths[0].read_text() == "as it was"
    assert paths[0].stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == (["last", "old"] if reason == "a folder" else ["old"])


def test_files_that_are_replaced_together_leave_nothing_of_the_old(tmp_path):
    paths = [tmp_path / name for name in "ab"]
    for _ in range(2):
        with files.atomic_files(paths) as parts:
            for part in parts:
                part.write_text("x")
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("has_errno", [True, False])
def test_an_os_error_names_the_final_file(tmp_path, has_errno):
    with pytest.raises(OSError) as error:
        with files.atomic_file(tmp_path / "x") as part:
            if has_errno:
                raise OSError(errno.ENOSPC, "No space left on device", str(part))
            raise OSError(f"{part}: cannot be written")
    assert ".part" not in str(error.value)
    assert str(tmp_path / "x") in str(error.value)
    assert error.value.errno == (errno.ENOSPC if has_errno else None)


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 125 + ".wav", "x." + "b" * 253])
def test_a_name_as_long_as_the_system_allows_is_written(tmp_path, name):
    with files.atomic_file(tmp_path / name) as part:
        assert len(os.fsencode(part.name)) <= 255
        part.write_text("x")
    assert names(tmp_path) == [name]


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with files.atomic_folder(tmp_path / "a" / "b") as part:
        (part / "x").write_text("")
        assert not (tmp_path / "a" / "b").exists()
    assert names(tmp_path) == ["a", "a/b", "a/b/x"]
    with pytest.raises(OSError):
        with files.atomic_folder(tmp_path / "a" / "b") as part:
            (part / "y").write_text("")
    assert names(tmp_path) == ["a", "a/b", "a/b/x"]


def test_a_folder_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(KeyError):
        with files.atomic_folder(tmp_path / "a" / "b") as part:
            (part / "x").write_text("")
            raise KeyError
    assert names(tmp_path) == []


@pytest.mark.parametrize("stop_after", [1, 2])
def test_ctrl_c_while_a_folder_is_made_leaves_nothing(
    tmp_path, monkeypatch, stop_after
):
    mkdir, calls = pathlib.Path.mkdir, []

    def stopped(*args, **kwargs):
        mkdir(*args, **kwargs)
        calls.append(args)
        if len(calls) == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(pathlib.Path, "mkdir", stopped)
    with pytest.raises(KeyboardInterrupt):
        with files.atomic_folder(tmp_path / "a" / "b"):
            raise AssertionError
    assert names(tmp_path) == []


def test_what_a_killed_run_leaves_is_removed_and_nothing_else(tmp_path):
    code = (
        "import os, sys; from waveunet_tf.system import files\n"
        "folder = sys.argv[1]\n"
        "writes = [files.atomic_file(f'{folder}/{x}') for x in ('x', 'a/y')]\n"
        "for write in writes: write.__enter__().write_text('')\n"
        "made = files.atomic_folder(f'{folder}/a/z')\n"
        "(made.__enter__() / 'f').write_text('')\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    (tmp_path / "a" / "kept").write_text("")
    assert len(list(tmp_path.rglob(".part-*"))) == 3
    files.remove_parts(tmp_path)
    assert names(tmp_path) == ["a", "a/kept"]
    files.remove_parts(tmp_path / "missing")


def test_a_locked_folder_is_for_one_run_at_a_time(tmp_path):
    for _ in range(2):
        with files.locked_folder(tmp_path / "new"):
            with pytest.raises(InputError, match="new: another run is at work in it"):
                with files.locked_folder(tmp_path / "new"):
                    pass
            with files.locked_folder(tmp_path / "another"):
                pass


def test_the_lock_of_a_killed_process_is_gone(tmp_path):
    code = (
        "import sys; from waveunet_tf.system import files\n"
        "with files.locked_folder(sys.argv[1]):\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"locked\n"
    with pytest.raises(InputError, match="another run is at work"):
        with files.locked_folder(tmp_path):
            pass
    child.kill()
    child.communicate()
    with files.locked_folder(tmp_path):
        pass


def test_space_that_is_not_there_is_refused_as_a_full_disk(tmp_path):
    files.require_space(tmp_path, 1)
    with pytest.raises(OSError) as error:
        files.require_space(tmp_path, 2**63)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path))


def test_only_what_is_new_or_may_be_overwritten_is_accepted(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    files.require_new()
    files.require_new(tmp_path / "missing", tmp_path / "empty")
    for name in ("file", "dangling"):
        with pytest.raises(InputError, match=f"{name}: must be a new file, or --over"):
            files.require_new(tmp_path / "missing", tmp_path / name)
    with pytest.raises(InputError, match="must be a new or empty folder, or --over"):
        files.require_new(tmp_path)
    files.require_new(tmp_path, tmp_path / "file", overwrite=True)


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1])
def test_a_files_hash_is_that_of_its_content(tmp_path, size):
    content = bytes(number % 251 for number in range(size))
    (tmp_path / "x").write_bytes(content)
    assert files.file_sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_a_file_in_the_folders_place_is_named_and_not_a_temporary_name(tmp_path):
    (tmp_path / "stems").write_text("a user's file")
    with pytest.raises(OSError) as caught:
        with files.atomic_file(tmp_path / "stems" / "a.wav"):
            pass
    assert ".part-" not in f"{caught.value}{caught.value.filename}"
    assert (tmp_path / "stems").read_text() == "a user's file"


def test_only_a_leading_tilde_with_a_slash_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert files.expand_home("~") == "/home/somebody"
    assert files.expand_home(pathlib.Path("~/m4")) == "/home/somebody/m4"
    for name in ("~a.wav", "~root", "a/~/b", "", "-", "/a/~"):
        assert files.expand_home(name) == name


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 9999, b"1" * 9999])
def test_what_is_no_json_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match="a.json: must be JSON, but is not"):
        files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("make", [files.atomic_file, files.atomic_folder])
@pytest.mark.parametrize("names", ["none", "source and target"])
def test_a_full_disk_is_told_with_the_file_that_the_user_wished(tmp_path, make, names):
    full = errno.ENOSPC, os.strerror(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left") as caught:
        with make(tmp_path / "wished") as part:
            if names == "none":  # as a write says it
                raise OSError(*full)
            raise OSError(*full, "/somewhere/else", None, str(part))  # as a copy
    assert caught.value.filename == str(tmp_path / "wished")
    assert not list(tmp_path.iterdir())


def test_a_name_is_found_however_its_letters_are_written():
    composed, apart = "Bj\u00f6rk", "Bjo\u0308rk"
    for name, names, found in (
        (composed, ["a", apart], apart),
        (apart, [composed], composed),
        (apart, [composed, apart], apart),
        ("caf\udce9", ["caf\udce9"], "caf\udce9"),
        ("bj\u00f6rk", [composed, apart], None),
    ):
        assert files.find_name(name, names) == found


def test_a_state_of_files_changes_with_their_names_sizes_and_times(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text("x")
        os.utime(path, ns=(0, 10**18))
    state = files.state_of_files(paths)
    assert state == files.state_of_files(map(str, paths))
    assert files.state_of_files(paths[:1]) != files.state_of_files(paths[1:])
    os.utime(paths[1], ns=(0, 10**18 + 1000))
    later = files.state_of_files(paths)
    paths[1].write_text("xy")
    os.utime(paths[1], ns=(0, 10**18 + 1000))
    assert len({state, later, files.state_of_files(paths)}) == 3
    paths[1].unlink()
    with pytest.raises(FileNotFoundError):
        files.state_of_files(paths)


def test_a_path_in_a_removed_working_directory_leads_where_it_says(
    tmp_path, monkeypatch
):
    """Such as -, standard input, which needs none."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert files.real_path("-") == pathlib.Path("-")
    assert files.real_path(tmp_path / "a") == tmp_path / "a"
