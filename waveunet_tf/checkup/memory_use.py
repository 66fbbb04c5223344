"""Fast: the memory of a training step on a card, and the largest batch that fits."""

from __future__ import annotations

import tensorflow as tf

from waveunet_tf.checkup.drills import Drill, noise_batches
from waveunet_tf.checkup.findings import LEFT_OUT, OK, Findings
from waveunet_tf.checkup.sizes import Way, Work
from waveunet_tf.system import gpus, memory

_MIB = 2**20
# What the allocator loses between blocks, and cuDNN's workspaces.
_USABLE = 0.85


def largest_batch(
    small: int, small_bytes: int, large: int, large_bytes: int, limit_bytes: float
) -> int:
    """Returns the largest batch by a straight line through two measured peaks.

    Args:
        small: A batch.
        small_bytes: Its peak.
        large: A larger batch.
        large_bytes: Its peak.
        limit_bytes: The memory there is.
    """
    each = max(1.0, (large_bytes - small_bytes) / (large - small))
    return max(0, int((limit_bytes - small_bytes) / each) + small)


def check_memory(findings: Findings, work: Work, way: Way, device: str) -> None:
    """Finds the largest batch of a card, and takes a step with it.

    Args:
        findings: Takes the finding.
        work: The network.
        way: How it is computed.
        device: The device, such as "GPU:0".
    """
    name = f"largest batch of {work.name}"
    if not device.startswith("GPU"):
        findings.add(name, LEFT_OUT, "a CPU's memory is the machine's; no card to fill")
        return
    limit = _free_bytes()  # before TensorFlow takes any
    if not limit:
        text = "nvidia-smi does not tell how much memory is free"
        findings.add(name, LEFT_OUT, text)
        return
    peaks = []
    batches = (max(1, work.batch_size // 4), work.batch_size)
    for batch_size in batches:
        tf.config.experimental.reset_memory_stats(device)
        _step(work, way, device, batch_size)
        peaks.append(tf.config.experimental.get_memory_info(device)["peak"])
    guess = largest_batch(batches[0], peaks[0], batches[1], peaks[1], _USABLE * limit)
    while guess > batches[1]:
        try:
            _step(work, way, device, guess)
            break
        except Exception as error:
            if not memory.is_exhausted(error):
                raise
            guess = guess * 3 // 4
    guess = max(guess, batches[1])  # which ran
    findings.add(
        name,
        OK,
        f"about {guess}, {way.name}; batch {batches[1]} takes "
        f"{peaks[1] / _MIB:.0f} MiB",
        largest_batch=guess,
        peak_bytes=peaks[1],
    )


def _step(work: Work, way: Way, device: str, batch_size: int) -> None:
    (batch,) = noise_batches(work.config, batch_size, 1)
    float(Drill(work.config, way, device=device).step(batch).loss)


def _free_bytes() -> float:
    cards = gpus.list_cards()
    return _MIB * float(cards[0].free_mib) if cards else 0.0
