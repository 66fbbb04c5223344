"""Right: steps of training in every way on a device, against the CPU in float32."""

from __future__ import annotations

import dataclasses

import numpy as np

from waveunet_tf.checkup.differences import farthest_loss, relative_distance
from waveunet_tf.checkup.drills import Course, Drill, noise_batches
from waveunet_tf.checkup.findings import Findings
from waveunet_tf.checkup.sizes import Sizes, Way, ways_of


@dataclasses.dataclass(frozen=True)
class Bound:
    """How far a way may be from the CPU's float32.

    Attributes:
        loss: Largest relative difference of a step's loss.
        gradient: Largest relative difference of the first step's gradient: the norm of
            the difference over the norm.
        weight: The same for the gradient of any one weight.
    """

    loss: float
    gradient: float
    weight: float


# What rounding alone does was measured on a CPU; each bound is some times as much.
_BOUNDS = {
    Way(): Bound(1e-4, 1e-4, 1e-3),
    Way(tf32=True): Bound(5e-3, 2e-2, 1e-1),
    Way("mixed_float16"): Bound(5e-3, 2e-2, 2e-1),
    Way("mixed_bfloat16"): Bound(1e-2, 3e-2, 4e-1),
}


def bound_of(way: Way) -> Bound:
    """Returns the bound of a way; XLA has that of the same precision."""
    return _BOUNDS[dataclasses.replace(way, compiled=False)]


def check_steps(
    findings: Findings, sizes: Sizes, precisions: tuple[str, ...], device: str
) -> None:
    """Compares the steps of a small M5 with those of plain Keras on the CPU.

    Args:
        findings: Takes a finding for each way.
        sizes: The network, and how many steps.
        precisions: The precisions to check.
        device: The device, such as "GPU:0".
    """
    batches = noise_batches(sizes.small, sizes.batch_size, sizes.steps)
    expected = Drill(sizes.small, Way(), device="CPU:0", plain=True).course(batches)
    for way in ways_of(precisions, on_gpu=device.startswith("GPU")):
        course = Drill(sizes.small, way, device=device).course(batches)
        _compare(findings, way, course, expected)


def _compare(findings: Findings, way: Way, course: Course, expected: Course) -> None:
    loss = farthest_loss(course.losses, expected.losses)
    names = list(expected.gradients)
    gradient = relative_distance(
        *(
            np.concatenate([one.gradients[name].ravel() for name in names])
            for one in (course, expected)
        )
    )
    of_weight, weight = max(
        (relative_distance(course.gradients[name], expected.gradients[name]), name)
        for name in names
    )
    bound = bound_of(way)
    good = (
        loss <= bound.loss and gradient <= bound.gradient and of_weight <= bound.weight
    )
    findings.judge(
        way.name,
        good,
        f"losses of {len(expected.losses)} steps within {loss:.1e} (bound "
        f"{bound.loss:.0e}), gradient within {gradient:.1e} ({bound.gradient:.0e}), "
        f"that of {weight} within {of_weight:.1e} ({bound.weight:.0e})",
        f"train without `{way.flags}`, or with another TensorFlow",
        way=way.name,
        loss_difference=loss,
        gradient_difference=gradient,
        weight_difference=of_weight,
    )
