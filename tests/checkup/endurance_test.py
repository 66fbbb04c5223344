import json

import pytest

from tests.checkup.conftest import MINI_SIZES
from waveunet_tf.checkup import children, endurance, noise_stems
from waveunet_tf.checkup.endurance import Endurance
from waveunet_tf.checkup.findings import LEFT_OUT, OK, WRONG, Findings

NAMES = [
    "a training",
    "a checkpoint to the CPU and back",
    "kill -9, Ctrl-C, resume",
    "a lost training",
    "out of memory",
]
TOO_LARGE = (
    "error: training needs more memory than there is; a lower --batch_size takes less"
)
LOST = "error: At least half of the output's samples must be within ±0.99"


def endure(tmp_path, *, seconds=60.0):
    findings = Findings("survives")
    Endurance(
        findings,
        MINI_SIZES.small,
        device="cpu",
        data_dir=tmp_path / "stems",
        folder=tmp_path / "trainings",
        environment=children.environment_of(on_gpu=False),
        seconds=seconds,
    ).check_all()
    return {finding.name: finding for finding in findings.found}


class Trainings:
    """Stands for `waveunet train`: writes a history and ends, however it is started.

    Attributes:
        endings: Workdir → exit code, stderr and history, which a test changes.
    """

    def __init__(self):
        losses = [{"loss": 0.5}, {"loss": 0.25}]
        self.endings = {
            "whole": (0, [], losses),
            "stopped": (0, [], losses),
            "lost": (1, [LOST], [{"rollback": n} for n in (1, 2, 3)]),
            "large": (1, [TOO_LARGE], []),
        }

    def run_child(self, words, environment, seconds, limit=None):
        (workdir,) = (word for word in words if word.startswith("--workdir="))
        folder = endurance.pathlib.Path(workdir.partition("=")[2])
        code, errors, history = self.endings[folder.name]
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(record) + "\n" for record in history)
        (folder / "history.jsonl").write_text(lines)
        return children.Ended(code, errors)


@pytest.fixture
def trainings(monkeypatch):
    fake = Trainings()
    monkeypatch.setattr(endurance.children, "run_child", fake.run_child)
    signals = []

    class Child:
        def send_signal(self, number):
            signals.append(number)

    class Started:
        def __enter__(self):
            return Child()

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(endurance.children, "started", lambda *_: Started())
    monkeypatch.setattr(endurance.children, "wait_until", lambda *_: True)
    monkeypatch.setattr(
        endurance.children, "end_of", lambda *_: children.Ended(130, [])
    )
    fake.signals = signals
    return fake


def test_trainings_that_survive_are_right(trainings, tmp_path):
    found = endure(tmp_path)
    assert list(found) == NAMES
    statuses = [found[name].status for name in NAMES]
    assert statuses == [OK, LEFT_OUT, OK, OK, OK]
    assert trainings.signals == [endurance.signal.SIGKILL, endurance.signal.SIGINT]


@pytest.mark.parametrize(
    ("workdir", "ending", "name"),
    [
        ("whole", (1, ["error: no"], []), "a training"),
        ("stopped", (0, [], [{"loss": 0.5}, {"loss": 0.26}]), NAMES[2]),
        ("stopped", (0, [], [{"loss": 0.5}, {"loss": float("nan")}]), NAMES[2]),
        ("stopped", (0, [], [{"loss": 0.5}]), NAMES[2]),
        ("stopped", (1, ["error: no state"], []), NAMES[2]),
        ("lost", (0, [], []), "a lost training"),
        ("lost", (1, [LOST], []), "a lost training"),
        ("large", (-9, ["Killed"], []), "out of memory"),
        ("large", (1, ["error: one", TOO_LARGE], []), "out of memory"),
        ("large", (1, ["error: no memory"], []), "out of memory"),
    ],
)
def test_what_does_not_survive_is_found(trainings, tmp_path, workdir, ending, name):
    trainings.endings[workdir] = ending
    assert endure(tmp_path)[name].status == WRONG


def test_without_time_all_is_left_out(tmp_path):
    found = endure(tmp_path, seconds=0.0)
    assert {found[name].status for name in NAMES} == {LEFT_OUT}


@pytest.mark.slow
def test_real_trainings_survive_on_a_cpu(tmp_path):
    noise_stems.write_noise_stems(tmp_path / "stems", MINI_SIZES.small, seconds=2)
    found = endure(tmp_path, seconds=500)
    wrong = [one for one in found.values() if one.status == WRONG]
    assert wrong == []
    assert [found[name].status for name in NAMES] == [OK, LEFT_OUT, OK, OK, OK]
