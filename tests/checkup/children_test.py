import os
import pathlib
import time

from waveunet_tf.checkup import children


def wait_for_its_number(child, pid):
    """Waits until a child has written a process' number and a space into a file."""
    written = lambda: pid.exists() and pid.read_text().endswith(" ")  # noqa: E731
    assert children.wait_until(child, written, 60)


def wait_for_the_end_of(pid):
    """Waits until the process is gone whose number a file holds."""
    until = time.monotonic() + 20
    status = pathlib.Path("/proc", pid.read_text().strip(), "stat")
    while status.exists() and " Z " not in status.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_child_tells_its_exit_code_and_its_last_line(tmp_path, monkeypatch):
    (tmp_path / "kid.py").write_text(
        "import sys\nprint('one', file=sys.stderr)\n"
        "print('two\\n', file=sys.stderr)\nsys.exit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ended = children.run_child(["kid"], dict(os.environ), 60)
    assert (ended.code, ended.last_line) == (3, "two")


def test_a_child_whose_time_is_up_is_killed_with_its_children(tmp_path, monkeypatch):
    (tmp_path / "kid.py").write_text(
        "import pathlib, subprocess, time\n"
        "other = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pid').write_text(f'{{other.pid}} ')\n"
        "time.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pid = tmp_path / "pid"
    with children.started(["kid"], dict(os.environ)) as child:
        wait_for_its_number(child, pid)
        assert children.end_of(child, 0.1).code is None
    wait_for_the_end_of(pid)


def test_a_childs_own_child_goes_with_it_where_it_is_in_its_group(
    tmp_path, monkeypatch
):
    """As the export within the part `agreement`, whose time may be up meanwhile."""
    (tmp_path / "kid.py").write_text(
        "import os\nfrom waveunet_tf.checkup import children\n"
        "children.run_child(['grandkid'], dict(os.environ), 60, own_group=False)\n"
    )
    (tmp_path / "grandkid.py").write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pid').write_text(f'{{os.getpid()}} ')\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pid = tmp_path / "pid"
    with children.started(["kid"], dict(os.environ)) as child:
        wait_for_its_number(child, pid)
    wait_for_the_end_of(pid)


def test_a_child_in_the_callers_group_is_killed_alone(tmp_path, monkeypatch):
    (tmp_path / "kid.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    begun = time.monotonic()
    ended = children.run_child(["kid"], dict(os.environ), 0.1, own_group=False)
    assert ended.code is None and time.monotonic() < begun + 20


def test_waiting_ends_with_the_child_or_with_the_time(tmp_path, monkeypatch):
    (tmp_path / "kid.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with children.started(["kid"], dict(os.environ)) as child:
        assert not children.wait_until(child, lambda: False, 60)
        assert not children.wait_until(child, lambda: False, 0.0)


def test_the_environment_hides_gpus_or_chooses_them(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    name = "CUDA_VISIBLE_DEVICES"
    assert children.environment_of(on_gpu=False)[name] == ""
    assert children.environment_of(on_gpu=True)[name] == "3"
    assert children.environment_of(on_gpu=True, gpus="0,1")[name] == "0,1"
