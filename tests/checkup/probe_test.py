import dataclasses
import json
import pathlib

from waveunet_tf.checkup import agreement, children, probe
from waveunet_tf.checkup.findings import LEFT_OUT, OK, WRONG, Findings
from waveunet_tf.checkup.sizes import Way


def settings_in(folder, **values):
    return probe.ProbeSettings("tiny", ("float32",), "CPU:0", str(folder), **values)


def end_with(monkeypatch, code, errors=()):
    """Lets a part find one thing, and then end so."""

    def run(words, environment, seconds):
        Findings("right", pathlib.Path(words[-1])).add("one", OK, "found before")
        return children.Ended(code, list(errors))

    monkeypatch.setattr(probe.children, "run_child", run)


def test_what_a_part_found_before_it_died_is_kept(tmp_path, monkeypatch):
    end_with(monkeypatch, -9, ["Killed"])
    found = probe.run_probe("steps", settings_in(tmp_path), {}, 60)
    assert [one.status for one in found] == [OK, WRONG]
    assert "exit code -9: Killed" in found[1].text and found[1].part == "right"


def test_a_part_whose_time_is_up_is_left_out_from_there(tmp_path, monkeypatch):
    end_with(monkeypatch, None)
    found = probe.run_probe("steps", settings_in(tmp_path), {}, 60)
    assert [one.status for one in found] == [OK, LEFT_OUT]
    assert "60 s were up" in found[1].text


def test_a_part_gets_its_settings_and_writes_its_findings(tmp_path, monkeypatch):
    settings = settings_in(tmp_path, fastest=("mixed_float16", True))
    got = []

    def work(findings, values):
        got.append(values)
        findings.add("one", OK, "text")

    monkeypatch.setitem(probe.PROBES, "steps", ("right", work))
    path = tmp_path / "found.jsonl"
    probe.main(["steps", json.dumps(dataclasses.asdict(settings)), str(path)])
    assert got == [settings]
    assert got[0].way == Way("mixed_float16", True)
    assert json.loads(path.read_text())["part"] == "right"


def test_the_export_is_in_the_group_that_is_killed_with_the_part(tmp_path, monkeypatch):
    """Elsewhere it would go on after the check, in a folder that is gone."""
    groups = []

    def run(words, environment, seconds, *, own_group=True):
        groups.append(own_group)
        return children.Ended(1, ["no"])

    monkeypatch.setattr(probe.children, "run_child", run)
    monkeypatch.setattr(agreement, "save_small_checkpoint", lambda *_: None)
    monkeypatch.setattr(agreement, "check_agreement", lambda *_: None)
    _, work = probe.PROBES["agreement"]
    work(Findings("right"), settings_in(tmp_path))
    assert groups == [False]
