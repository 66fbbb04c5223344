import time

import pytest
import tensorflow as tf

from tests.checkup.conftest import MINI_SIZES
from waveunet_tf.checkup import noise_stems, speed
from waveunet_tf.checkup.findings import LEFT_OUT, OK, WRONG, Findings
from waveunet_tf.checkup.sizes import Way
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.networks.description import describe_network


@pytest.fixture(scope="module")
def noise_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise") / "stems"
    noise_stems.write_noise_stems(folder, MINI_SIZES.small, seconds=1)
    return folder


def by_name(findings):
    return {finding.name: finding for finding in findings.found}


def pipeline_of(noise_dir, sizes):
    findings = Findings("fast")
    speed.check_pipeline(findings, sizes, noise_dir, Way(), "CPU:0")
    return by_name(findings)


@pytest.mark.slow
def test_a_slowed_down_pipeline_is_found(noise_dir, mini_sizes, monkeypatch):
    build = speed.excerpts.random_excerpts

    def slow(*words, **options):
        def sleep(*batch):
            with tf.control_dependencies(
                [tf.py_function(lambda: time.sleep(0.1), [], [])]
            ):
                return tf.nest.map_structure(tf.identity, batch)

        return build(*words, **options).map(sleep)

    monkeypatch.setattr(speed.excerpts, "random_excerpts", slow)
    found = pipeline_of(noise_dir, mini_sizes)
    waiting = found["waiting for excerpts"]
    assert waiting.status == WRONG and waiting.numbers["wait_share"] > 0.3
    assert waiting.mend
    assert found["excerpts of soundfile"].numbers["batches_per_second"] < 10


@pytest.mark.slow
def test_a_pipeline_that_is_fast_enough_is_right(noise_dir, mini_sizes, monkeypatch):
    """Here the steps are slow: those of such a network are faster than any reading."""
    step = speed.Drill.step

    def slow(self, batch):
        time.sleep(0.1)
        return step(self, batch)

    monkeypatch.setattr(speed.Drill, "step", slow)
    found = pipeline_of(noise_dir, mini_sizes)
    assert found["waiting for excerpts"].numbers["wait_share"] < 0.3
    assert found["excerpts of soundfile"].status == OK
    assert found["excerpts mixed on the device"].numbers["difference"] == 0


@pytest.mark.slow
def test_excerpts_that_the_device_mixes_otherwise_are_found(noise_dir, monkeypatch):
    mix = speed.excerpts.StoredMixer.__call__

    def planted(self, stems, gains, swapped):
        return mix(self, stems, gains * 1.0001, swapped)

    monkeypatch.setattr(speed.excerpts.StoredMixer, "__call__", planted)
    findings, work = Findings("fast"), MINI_SIZES.works[0]
    tracks = speed.prepared.load_prepared(noise_dir, work.config, "train")
    speed._check_mixing(findings, work, tracks, TrainingConfig(batch_size=4), "CPU:0")
    (found,) = findings.found
    assert found.status == WRONG and "24 bits" in found.mend


@pytest.mark.slow
def test_rates_are_told_for_each_way_beside_the_matrix_product(mini_sizes, monkeypatch):
    monkeypatch.setattr(
        speed, "ways_of", lambda *_, **__: [Way(), Way("mixed_bfloat16")]
    )
    findings = Findings("fast")
    speed.check_rates(findings, mini_sizes, ("float32",), "CPU:0")
    found = by_name(findings)
    assert list(found) == ["mini, mixed_bfloat16", "mini, float32"]
    numbers = found["mini, float32"].numbers
    work = mini_sizes.works[0]
    adds = sum(row.multiply_adds for row in describe_network(work.config).rows)
    assert numbers["product_share"] == pytest.approx(
        numbers["steps_per_second"]
        * 6
        * adds
        * work.batch_size
        / numbers["product_operations_per_second"]
    )


def test_a_batch_that_does_not_fit_is_left_out(mini_sizes, monkeypatch):
    def exhausted(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(speed.Drill, "steps_per_second", exhausted)
    monkeypatch.setattr(speed, "ways_of", lambda *_, **__: [Way()])
    findings = Findings("fast")
    speed.check_rates(findings, mini_sizes, ("float32",), "CPU:0")
    (found,) = findings.found
    assert found.status == LEFT_OUT and "batch 4 is too large" in found.text


def test_a_products_rate_counts_two_operations_a_multiply_add(monkeypatch):
    times = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    # One product a second: looks at 0, 1, 2 and 3.
    assert speed.product_rate(32, Way(), "CPU:0", 3.0) == 2 * 32**3 * 2 / 3
