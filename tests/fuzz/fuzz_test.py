"""The battery sees each kind of fault, and a short slice of it finds none."""

import importlib

import pytest

hypothesis = pytest.importorskip("hypothesis")  # of requirements-dev.txt

from tests.fuzz import faulty, guard, runner  # noqa: E402


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "java_core" else name
        for name in runner.TARGETS
    ],
)
def test_a_slice_of_the_battery_finds_nothing(tmp_path, name):
    target, place = importlib.import_module(f"tests.fuzz.{name}"), guard.Place(tmp_path)
    if reason := getattr(target, "reason_to_skip", str)():
        pytest.skip(reason)

    getattr(target, "seeds", list)()  # not while hypothesis draws

    @hypothesis.settings(
        max_examples=getattr(target, "SLICE", 10),
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(target.cases())
    def holds(case):
        place.try_case(case, target.check)

    holds()


@pytest.mark.parametrize(
    "kind, error",
    [
        ("fault", KeyError),
        ("outside", guard.Breach),
        ("temporary", guard.Breach),
        ("memory", guard.Breach),
    ],
)
def test_a_fault_is_seen(tmp_path, monkeypatch, kind, error):
    monkeypatch.setattr(guard, "MAX_BYTES", 2**26)
    with pytest.raises(error):
        guard.Place(tmp_path).try_case({kind: b"content"}, faulty.check)


def test_a_refusal_and_a_result_are_none(tmp_path):
    place = guard.Place(tmp_path)
    assert place.try_case({"refusal": b""}, faulty.check) is True
    assert place.try_case({"result": b""}, faulty.check) is False


@pytest.mark.slow
def test_a_signal_is_a_finding_that_can_be_repeated(tmp_path, capsys):
    outcome = runner.fuzz("faulty", 4, tmp_path, seed=1)
    assert list(outcome.findings) == ["SIGSEGV-faulty.check-guard.try_case"]
    assert outcome.findings["SIGSEGV-faulty.check-guard.try_case"] >= 1
    assert outcome.tries > 0 and "1 findings" in outcome.line()
    (folder,) = tmp_path.iterdir()
    assert len((folder / "inputs" / "signal").read_bytes()) > 20
    assert f"--repeat={folder} faulty" in capsys.readouterr().out
