"""Right: steps on two devices at once, against those of one with the same batch."""

from __future__ import annotations

import tensorflow as tf

from waveunet_tf.checkup.differences import farthest_loss
from waveunet_tf.checkup.drills import Drill, noise_batches
from waveunet_tf.checkup.findings import LEFT_OUT, Findings
from waveunet_tf.checkup.sizes import Sizes, Way
from waveunet_tf.training.devices import Devices

_BOUND = 1e-4
_MEMORY_MIB = 2048


def check_replicas(findings: Findings, sizes: Sizes, device: str) -> None:
    """Compares MirroredStrategy with one device; to be called in a fresh process.

    One card, or the CPU, becomes two logical devices. Where there are two cards, these
    are tried as well.

    Args:
        findings: Takes the findings.
        sizes: The network, and how many steps.
        device: The device, such as "GPU:0".
    """
    kind = device.partition(":")[0]
    cards = tf.config.list_physical_devices(kind)
    limit = _MEMORY_MIB if kind == "GPU" else None
    if len(cards) < 2:
        halves = [tf.config.LogicalDeviceConfiguration(memory_limit=limit)] * 2
        tf.config.set_logical_device_configuration(cards[0], halves)
    batches = noise_batches(sizes.small, sizes.batch_size, sizes.steps)
    pair = [one.name for one in tf.config.list_logical_devices(kind)[:2]]
    whole = Drill(sizes.small, Way(), device=device).course(batches)
    strategy = tf.distribute.MirroredStrategy(pair)
    devices = Devices(strategy)
    drill = Drill(sizes.small, Way(), devices=devices)
    losses = []
    for batch in batches:
        shared = _shared(strategy, batch)
        losses.append(float(drill.step(shared).loss))
    difference = farthest_loss(losses, whole.losses)
    what = f"two {kind}s" if len(cards) > 1 else f"one {kind} as two"
    findings.judge(
        f"MirroredStrategy, {what}",
        difference <= _BOUND,
        f"losses of {len(losses)} steps within {difference:.1e} of one device's (bound "
        f"{_BOUND:.0e})",
        "train with `--strategy none`, or with another TensorFlow",
        loss_difference=difference,
    )
    if len(cards) < 2:
        findings.add("a second card", LEFT_OUT, f"there is one {kind}")


def _shared(strategy: tf.distribute.Strategy, batch: tuple) -> tuple:
    """Gives each device its part of a batch."""
    count = strategy.num_replicas_in_sync

    def part(context, value):
        size = value.shape[0] // count
        first = context.replica_id_in_sync_group * size
        return value[first : first + size]

    return tf.nest.map_structure(
        lambda value: strategy.experimental_distribute_values_from_function(
            lambda context: part(context, value)
        ),
        batch,
    )
