import errno
import os
import pathlib
import subprocess
import sys
import time

import pytest

from tests.system.leftovers import LEAVE, leave_half
from waveunet_tf.system import files, part_folders

ELSEWHERE = f".part-00000000-{os.getpid()}-0123456789abcdef"


@pytest.fixture(autouse=True)
def not_swept(monkeypatch):
    monkeypatch.setattr(part_folders, "_next_sweeps", {})


def test_no_name_is_used_twice_and_each_folder_is_its_makers(tmp_path):
    names = {part_folders.new_name() for _ in range(1000)}
    assert len(names) == 1000
    assert len({name.rpartition("-")[2][:4] for name in names}) > 900
    with part_folders.part_folder(tmp_path) as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    left = leave_half(tmp_path / "z")
    with files.atomic_file(tmp_path / "x") as part:
        part.write_text("")
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_a_killed_process_left_goes_with_the_next_folder(tmp_path):
    left = leave_half(tmp_path / "z")
    with files.atomic_folder(tmp_path / "x") as part:
        (part / "a").write_text("whole")
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_takes_long_to_look_at_is_looked_at_now_and_then(
    tmp_path, monkeypatch
):
    now, seconds, looks = 1000.0, {"small": 0.001, "large": 3.0}, []

    def glob(parent, pattern):
        nonlocal now
        now += seconds[parent.name]
        looks.append(parent.name)
        return []

    monkeypatch.setattr(pathlib.Path, "glob", glob)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(100):
        now += 10  # for a song
        for name in seconds:
            part_folders.sweep_if_quick(tmp_path / name)
    assert looks.count("small") == 100
    assert looks.count("large") == 4  # 1000 s, of which each look takes 3 s
    for number in range(1000):
        now += 10
        seconds[str(number)] = 0.001
        part_folders.sweep_if_quick(tmp_path / str(number))
    assert len(part_folders._next_sweeps) <= 2  # The memory has a bound.


def test_a_process_that_has_ended_unasked_is_at_work_no_more(tmp_path):
    words = [sys.executable, "-c", LEAVE, tmp_path / "z"]
    child = subprocess.Popen(words)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    os.kill(child.pid, 0)  # Its number is taken still.
    part_folders.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    child.wait()


def test_what_another_process_is_writing_stays(tmp_path):
    with part_folders.part_folder(tmp_path) as folder:
        part_folders.sweep(tmp_path)
        assert folder.exists()


@pytest.mark.parametrize(("hours", "is_kept"), [(0, True), (23, True), (25, False)])
def test_of_another_machine_only_what_is_a_day_old_goes(tmp_path, hours, is_kept):
    (tmp_path / ELSEWHERE / "deep").mkdir(parents=True)
    (tmp_path / ELSEWHERE / "deep" / "x").write_text("half")
    then = time.time() - hours * 3600
    for path in [*(tmp_path / ELSEWHERE).rglob("*"), tmp_path / ELSEWHERE]:
        os.utime(path, (then, then))
    part_folders.sweep(tmp_path)
    assert (tmp_path / ELSEWHERE).exists() == is_kept


def test_a_file_that_still_grows_keeps_its_folder(tmp_path):
    (tmp_path / ELSEWHERE).mkdir()
    (tmp_path / ELSEWHERE / "x").write_text("half")
    os.utime(tmp_path / ELSEWHERE, (0, 0))
    part_folders.sweep(tmp_path)
    assert (tmp_path / ELSEWHERE / "x").exists()


def test_the_same_process_number_in_another_container_is_another(tmp_path, monkeypatch):
    """Both are process 1 of their container, of one name."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    machine = part_folders._machine.__wrapped__
    here = machine()
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[4026532999]")
    assert machine() != here
    monkeypatch.undo()
    left = leave_half(tmp_path / "z")
    monkeypatch.setattr(part_folders, "_machine", lambda: "11111111")
    part_folders.sweep(tmp_path)  # It may be at work there.
    assert left.exists()


def test_nothing_but_our_own_folders_goes(tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    (old / "kept").write_text("")
    name = leave_half(tmp_path / "z").name
    others = [".part-1-x", ".part-", f"{name}-x", name.replace("-", "_", 1)]
    for other in others:
        (tmp_path / other).mkdir()
    link = tmp_path / f"{name[:-1]}{'0' if name[-1] != '0' else '1'}"
    link.symlink_to(old)
    file = tmp_path / f"{name[:-1]}{'2' if name[-1] != '2' else '3'}"
    file.write_text("")
    part_folders.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("old", link.name, file.name, *others)
    }
    assert (old / "kept").exists()


def test_another_users_folder_stays(tmp_path, monkeypatch):
    left = leave_half(tmp_path / "z")
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    part_folders.sweep(tmp_path)
    assert left.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError) as error:
        with part_folders.part_folder(pathlib.Path("/proc/self")):
            pass
    assert error.value.filename == "/proc/self"


def test_a_full_disk_is_told_of_the_folder_that_the_user_knows(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device: '[^']*'$") as caught,
        part_folders.part_folder(tmp_path) as folder,
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path))
