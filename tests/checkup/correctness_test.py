import numpy as np
import pytest
import tensorflow as tf

from waveunet_tf.checkup import correctness
from waveunet_tf.checkup.correctness import (
    bound_of,
    check_steps,
)
from waveunet_tf.checkup.findings import OK, WRONG, Findings
from waveunet_tf.checkup.sizes import Way, ways_of
from waveunet_tf.networks import cpu_gradients


def statuses(sizes, precisions):
    findings = Findings("right")
    check_steps(findings, sizes, precisions, "CPU:0")
    return {finding.name: finding.status for finding in findings.found}


@pytest.fixture
def without_xla(monkeypatch):
    """Compiling takes longer than all else."""
    monkeypatch.setattr(
        correctness,
        "ways_of",
        lambda *words, **options: [
            way for way in ways_of(*words, **options) if not way.compiled
        ],
    )


@pytest.mark.slow
def test_a_wrong_gradient_in_one_precision_is_found_there_alone(
    mini_sizes, monkeypatch, without_xla
):
    assert statuses(mini_sizes, ("float32", "mixed_bfloat16")) == {
        "float32": OK,
        "mixed_bfloat16": OK,
    }
    right = cpu_gradients.leaky_relu

    @tf.custom_gradient
    def without_the_slope(inputs):
        outputs = tf.nn.leaky_relu(inputs, 0.2)
        slope = tf.where(inputs > 0, 1.0, 0.0)
        return outputs, lambda upstream: upstream * tf.cast(slope, upstream.dtype)

    def planted(inputs, slope):
        if inputs.dtype == tf.bfloat16:
            return without_the_slope(inputs)
        return right(inputs, slope)

    monkeypatch.setattr(cpu_gradients, "leaky_relu", planted)
    assert statuses(mini_sizes, ("float32", "mixed_bfloat16")) == {
        "float32": OK,
        "mixed_bfloat16": WRONG,
    }


def test_a_gradient_of_one_weight_that_is_missing_is_found(
    mini_sizes, monkeypatch, without_xla
):
    """Also where all others are right."""
    monkeypatch.setattr(
        correctness.Drill, "course", without_interpolation(correctness.Drill.course)
    )
    assert statuses(mini_sizes, ("float32",)) == {"float32": WRONG}


def without_interpolation(course):
    courses = []

    def planted(self, batches):
        result = course(self, batches)
        courses.append(result)
        if len(courses) == 2:  # the first one is what is expected
            for name in result.gradients:
                if "interpolation" in name:
                    result.gradients[name] = np.zeros_like(result.gradients[name])
        return result

    return planted


@pytest.mark.slow
def test_every_precision_is_right_on_a_cpu_with_and_without_xla(mini_sizes):
    found = statuses(mini_sizes, ("float32", "mixed_float16", "mixed_bfloat16"))
    assert len(found) == 6 and set(found.values()) == {OK}


def test_xla_has_the_bound_of_its_precision():
    assert bound_of(Way("mixed_float16", True)) == bound_of(Way("mixed_float16"))
    assert bound_of(Way()).loss == 1e-4
    assert bound_of(Way(tf32=True)).loss > bound_of(Way()).loss
