import re
import sys

import pytest

from waveunet_tf.checkup import equipment
from waveunet_tf.checkup.findings import LEFT_OUT, OK, WRONG, Findings
from waveunet_tf.system import cuda_libraries, gpus

CARD = gpus.Card(0, "GPU-aa", "NVIDIA H100", "550.54.15", 81559, 81000)


def look(*, wants_gpu=False):
    findings = Findings("there")
    equipment.check_equipment(findings, wants_gpu=wants_gpu)
    by_name = {}
    for finding in findings.found:
        by_name.setdefault(finding.name, []).append(finding)
    return by_name


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine one with these cards and this driver."""

    def make(cards=(CARD,), driver="550.54.15", users=()):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(gpus, "list_cards", lambda: list(cards))
        monkeypatch.setattr(gpus, "list_users", lambda cards: list(users))
        monkeypatch.setattr(gpus, "driver_version", lambda: driver)

    return make


def test_a_machine_without_a_card_is_no_fault_unless_one_was_asked_for(machine):
    machine(cards=(), driver=None)
    found = look()
    assert [one.status for one in found["GPUs of TensorFlow"]] == [LEFT_OUT]
    assert found["CUDA's libraries"][0].status == LEFT_OUT
    assert found["tensorflow"][0].status == OK
    (asked,) = look(wants_gpu=True)["GPUs of TensorFlow"]
    assert asked.status == WRONG and "no NVIDIA driver" in asked.text


def test_each_hidden_library_is_told_with_the_line_that_mends_it(machine, monkeypatch):
    machine()
    monkeypatch.setattr(
        cuda_libraries,
        "problem_of",
        lambda library: (
            None
            if library.file.startswith("libcublas")
            else f"{library.file} is missing: pip install {library.package}"
        ),
    )
    found = look()
    told = {one.text: one.mend for one in found["library"]}
    # Its version is that of the installed TensorFlow.
    (mend,) = [told[text] for text in told if re.match(r"libcudnn\.so\.\d+ is", text)]
    assert mend == "pip install nvidia-cudnn-cu12"
    assert "libcudart.so.12 is missing" in told
    assert not any("cublas" in text for text in told)
    assert {one.status for one in found["library"]} == {WRONG}
    assert found["GPUs of TensorFlow"][0].status == WRONG


def test_a_driver_too_old_and_a_full_card_are_told(machine):
    users = [gpus.CardUser("GPU-aa", 4711, "python3", 81000)]
    machine((gpus.Card(0, "GPU-aa", "T4", "470.1", 81559, 100),), "470.1", users)
    found = look()
    (driver,), (card,) = found["driver"], found["GPU 0"]
    assert (driver.status, card.status) == (WRONG, WRONG)
    assert "install 525.60.13" in driver.mend
    assert "held by process 4711 (python3, 81000 MiB)" in card.text
    assert "CUDA_VISIBLE_DEVICES" in card.mend


def test_another_process_on_a_card_with_room_is_told_and_no_fault(machine):
    machine(users=[gpus.CardUser("GPU-aa", 4711, "python3", 400)])
    (card,) = look()["GPU 0"]
    assert card.status == OK and "also used by process 4711" in card.text


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="has no tensorflow-io")
def test_a_hidden_tensorflow_io_is_told_with_what_installs_it(machine, monkeypatch):
    machine(cards=(), driver=None)
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)  # its import fails
    (found,) = look()["tensorflow-io"]
    assert found.status == WRONG
    assert "pip install tensorflow-io==0.37.1" in found.mend
