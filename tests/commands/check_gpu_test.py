import json

import pytest

from tests.command_line import check_refusal, run, run_here
from waveunet_tf.checkup import plan
from waveunet_tf.checkup.findings import OK, WRONG, Finding
from waveunet_tf.errors import InputError


def check_gpu(tmp_path, *words):
    return run_here("waveunet_tf", "check-gpu", *words, folder=tmp_path)


@pytest.fixture
def result(monkeypatch):
    """Sets what the check finds."""

    def install(*findings):
        checked = plan.Checked(tuple(findings), False, "tiny", 1.0)
        monkeypatch.setattr(plan, "check_machine", lambda **_: checked)

    return install


def test_table_json_and_verdict_tell_the_same(tmp_path, result):
    result(Finding("right", "float32", OK, "within 1e-7"))
    ended = check_gpu(tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "float32" in ended.stdout and "no GPU was tried" in ended.stdout
    report = json.loads((tmp_path / "check-gpu.json").read_text())
    assert report["right"] and report["verdict"] in ended.stdout
    assert [one["name"] for one in report["findings"]] == ["float32"]


def test_what_is_wrong_makes_the_exit_code_1(tmp_path, result):
    result(Finding("right", "float32", WRONG, "within 3", "another TensorFlow"))
    ended = check_gpu(tmp_path, "--json", "other.json")
    assert ended.returncode == 1
    assert "→ another TensorFlow" in ended.stdout
    assert json.loads((tmp_path / "other.json").read_text())["right"] is False


def test_bad_input_is_one_line(tmp_path, monkeypatch):
    unknown = check_gpu(tmp_path, "--precisions", "float32,float8")
    check_refusal(unknown, 2, "`precisions` must be of float32", "float8")
    check_refusal(check_gpu(tmp_path, "--parts", "all"), 2, "--parts must be of steps")

    def refuse(**_):
        raise InputError("`device` is gpu, but TensorFlow finds none: no driver")

    monkeypatch.setattr(plan, "check_machine", refuse)
    missing = check_gpu(tmp_path, "--device", "gpu")
    check_refusal(missing, 1, "finds none: no driver")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_all_of_it_runs_on_a_cpu_and_finds_nothing_wrong(tmp_path):
    path = tmp_path / "check.json"
    words = ("--device", "cpu", "--json", path, "--seconds", 900)
    ended = run("waveunet_tf", "check-gpu", *words)
    report = json.loads(path.read_text())
    # On a busy machine steps may wait.
    wrong = [one["name"] for one in report["findings"] if one["status"] == WRONG]
    assert set(wrong) <= {"waiting for excerpts"}, ended.stdout
    parts = {one["part"] for one in report["findings"]}
    assert parts == {"there", "right", "fast", "survives"}
    assert ended.returncode == (1 if wrong else 0)


def test_findings_are_told_also_where_the_json_cannot_be_written(tmp_path, result):
    result(Finding("right", "float32", WRONG, "within 3", "another TensorFlow"))
    (tmp_path / "file").write_text("no folder")
    ended = check_gpu(tmp_path, "--json", "file/check.json")
    check_refusal(ended, 1, "file: File exists")
    assert "float32" in ended.stdout and "1 thing is WRONG" in ended.stdout
