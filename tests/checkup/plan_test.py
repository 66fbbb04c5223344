from unittest import mock

import pytest

from waveunet_tf.checkup import plan
from waveunet_tf.checkup.findings import LEFT_OUT, OK, WRONG, Finding
from waveunet_tf.errors import InputError


class Probes:
    """Stands for the parts' processes: notes what they were given."""

    def __init__(self, gpus=0):
        self.gpus, self.ran = gpus, {}

    def run(self, name, settings, environment, seconds):
        self.ran[name] = settings, environment, seconds
        if name == "equipment":
            text = "none: the driver 470.1 is too old"
            status = OK if self.gpus else WRONG
            numbers = {"gpus": self.gpus}
            mend = "" if self.gpus else "install 525.60.13 or a newer one"
            return [Finding("there", "GPUs of TensorFlow", status, text, mend, numbers)]
        numbers = {}
        if name == "rates":
            numbers = {"network": "M5", "way": "mixed_float16, XLA", "flags": "…"}
            numbers["steps_per_second"] = 3.0
        return [Finding("fast", name, OK, "", numbers=numbers)]


@pytest.fixture
def probes(monkeypatch):
    def install(gpus=0):
        probes = Probes(gpus)
        monkeypatch.setattr(plan.probe, "run_probe", probes.run)
        return probes

    return install


def test_a_machine_with_a_gpu_is_checked_on_it_at_full_size(probes, monkeypatch):
    ran = probes(gpus=1)
    checked = plan.check_machine(gpus="2", parts=("steps", "rates", "pipeline"))
    settings, environment, _ = ran.ran["steps"]
    assert (settings.device, settings.sizes) == ("GPU:0", "full")
    assert environment["CUDA_VISIBLE_DEVICES"] == "2"
    assert (checked.on_gpu, checked.is_right) == (True, True)
    # Excerpts are waited for by steps of the fastest way.
    assert ran.ran["pipeline"][0].fastest == ("mixed_float16", True)
    assert list(ran.ran) == ["equipment", "steps", "rates", "pipeline"]


def test_a_machine_without_one_is_checked_on_the_cpu_at_a_tiny_size(probes):
    ran = probes()
    checked = plan.check_machine(device="cpu", parts=("steps",))
    settings, environment, _ = ran.ran["steps"]
    assert (settings.device, settings.sizes) == ("CPU:0", "tiny")
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert not checked.on_gpu and not checked.is_right  # as the equipment told


def test_a_gpu_that_was_asked_for_and_is_missing_is_one_line(probes):
    probes()
    with pytest.raises(InputError) as error:
        plan.check_machine(device="gpu")
    assert str(error.value) == (
        "`device` is gpu, but TensorFlow finds none: the driver 470.1 is too old; "
        "install 525.60.13 or a newer one"
    )


def test_an_unknown_precision_is_refused_before_anything_runs(probes):
    ran = probes()
    with pytest.raises(InputError, match="`precisions` must be of"):
        plan.check_machine(precisions=("float8",))
    assert ran.ran == {}


def test_what_there_is_no_time_for_is_left_out(probes, monkeypatch):
    ran = probes()
    checked = plan.check_machine(seconds=5.0)
    assert list(ran.ran) == ["equipment"]
    left_out = {one.name for one in checked.findings if one.status == LEFT_OUT}
    assert left_out == {*list(plan.probe.PROBES)[1:], "endurance"}


def test_later_parts_keep_their_time_however_long_the_first_ones_take(
    probes, monkeypatch
):
    ran = probes(gpus=1)
    monkeypatch.setattr(plan, "Endurance", lambda *_, **__: mock.Mock())
    monkeypatch.setattr(plan, "write_noise_stems", lambda *_, **__: None)
    plan.check_machine(seconds=1000.0)
    seconds = {name: given for name, (_, _, given) in ran.ran.items()}
    assert seconds["steps"] == pytest.approx(300, abs=20)
    assert seconds["rates"] == pytest.approx(500, abs=20)
    assert seconds["pipeline"] == pytest.approx(600, abs=20)
    assert seconds["memory"] == pytest.approx(700, abs=20)
    # Nothing is kept for parts that are not asked for.
    plan.check_machine(seconds=1000.0, parts=("steps", "memory"))
    assert ran.ran["steps"][2] == pytest.approx(900, abs=20)


def test_the_parts_together_get_no_more_than_the_time(probes):
    ran = probes()
    plan.check_machine(seconds=100.0, parts=("steps",))
    assert ran.ran["steps"][2] <= 100.0
