import dataclasses

import pytest

from waveunet_tf.checkup import memory_use
from waveunet_tf.checkup.findings import LEFT_OUT, Findings
from waveunet_tf.checkup.memory_use import check_memory, largest_batch
from waveunet_tf.checkup.sizes import Way


def test_the_largest_batch_lies_on_the_line_of_two_peaks():
    # 100 bytes for the weights, 10 an excerpt.
    assert largest_batch(4, 140, 16, 260, 1100.0) == 100
    assert largest_batch(4, 140, 16, 260, 145.0) == 4
    assert largest_batch(4, 140, 16, 140, 200.0) == 64  # as if one took a byte


def test_without_a_card_it_is_left_out(mini_sizes):
    findings = Findings("fast")
    check_memory(findings, mini_sizes.works[0], Way(), "CPU:0")
    (found,) = findings.found
    assert found.status == LEFT_OUT and "no card" in found.text


@pytest.fixture
def card(monkeypatch):
    """A card of TensorFlow's, on which a step takes 10 bytes an excerpt."""
    peaks = []

    def step(work, way, device, batch_size):
        if batch_size > 20:
            raise MemoryError
        peaks.append(10 * batch_size)

    memory = memory_use.tf.config.experimental
    monkeypatch.setattr(memory_use, "_step", step)
    monkeypatch.setattr(memory, "reset_memory_stats", lambda device: None)
    monkeypatch.setattr(memory, "get_memory_info", lambda device: {"peak": peaks[-1]})


@pytest.mark.parametrize("free_bytes", [100.0, 250.0])
def test_a_batch_that_ran_fits(mini_sizes, monkeypatch, card, free_bytes):
    """What is free by nvidia-smi is not all that TensorFlow may take."""
    monkeypatch.setattr(memory_use, "_free_bytes", lambda: free_bytes)
    work = dataclasses.replace(mini_sizes.works[0], batch_size=16)
    findings = Findings("fast")
    check_memory(findings, work, Way(), "GPU:0")
    assert findings.found[0].numbers["largest_batch"] >= 16


def test_without_nvidia_smi_the_largest_batch_is_left_out(
    mini_sizes, monkeypatch, card
):
    monkeypatch.setattr(memory_use.gpus, "list_cards", list)
    findings = Findings("fast")
    check_memory(findings, mini_sizes.works[0], Way(), "GPU:0")
    (found,) = findings.found
    assert found.status == LEFT_OUT and "nvidia-smi" in found.text
