import dataclasses
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.trainings import QUICK, TINY_U7, Enough, history, run
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.data import excerpts, prepared
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.training import loop

COSINE = dataclasses.replace(
    QUICK,
    fine_tuning=False,
    learning_rate_schedule="cosine",
    average_momentum=0.9,
    best_by="sdr",
    steps_per_epoch=12,
)


def test_a_cosine_takes_the_learning_rate_down_to_nothing(
    stems_dir, tiny_config, tmp_path
):
    run(tiny_config, COSINE, stems_dir, tmp_path / "work")
    rates = [record["learning_rate"] for record in history(tmp_path / "work")]
    # Of the last of 12 steps, and of 24.
    expected = [0.5e-3 * (1 + np.cos(np.pi * step / 24)) for step in (11, 23)]
    assert rates == pytest.approx(expected)
    assert rates[-1] < 0.01 * COSINE.learning_rate


def test_averages_of_the_weights_are_what_is_validated_and_kept(
    stems_dir, tiny_config, tmp_path
):
    progress = run(tiny_config, COSINE, stems_dir, tmp_path / "work")
    last = progress.epoch == progress.best_epoch
    assert last, "the test needs an epoch that is the best and the last"
    (state, _) = sorted((tmp_path / "work" / "state").iterdir(), reverse=True)
    with np.load(state / "averages.npz") as file:
        averages = [file[f"arr_{number}"] for number in range(len(file.files) - 1)]
    kept = checkpoint.load_network(tmp_path / "work" / "best").get_weights()
    own = checkpoint.load_network(state).get_weights()
    for average, one in zip(averages, kept):
        np.testing.assert_array_equal(average, one)
    assert any((one != other).any() for one, other in zip(own, kept))


# Within the first epoch's validation, and in the second epoch.
@pytest.mark.parametrize("steps", [13, 16])
def test_averages_and_a_cosine_go_on_where_they_stood(
    stems_dir, tiny_config, tmp_path, steps
):
    run(tiny_config, COSINE, stems_dir, tmp_path / "whole")
    arguments = {"data_dirs": [stems_dir], "workdir": tmp_path / "stopped"}
    with pytest.raises(loop.Stopped):
        loop.train(tiny_config, COSINE, should_stop=Enough(steps), **arguments)
    longer = dataclasses.replace(COSINE, max_epochs=3)
    with pytest.raises(InputError, match=r"max_epochs \(2, now 3\)"):
        loop.train(tiny_config, longer, **arguments)
    loop.train(tiny_config, COSINE, **arguments)
    for one, other in zip(
        checkpoint.load_network(tmp_path / "stopped" / "best").get_weights(),
        checkpoint.load_network(tmp_path / "whole" / "best").get_weights(),
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_highest_sdr_may_be_what_is_best(stems_dir, tiny_config, tmp_path):
    progress = run(tiny_config, COSINE, stems_dir, tmp_path / "work")
    means = [
        np.mean(list(record["validation_sdr_db"].values()))
        for record in history(tmp_path / "work")
    ]
    assert progress.best_epoch == 1 + int(np.argmax(means))
    assert progress.best_loss == pytest.approx(-max(means))


def test_first_weights_may_give_each_layer_features_of_one_level(
    stems_dir, tiny_config, tmp_path
):
    training = dataclasses.replace(
        QUICK,
        first_weights="unit_variance",
        learning_rate=1e-30,
        steps_per_epoch=1,
        max_epochs=1,
    )
    run(tiny_config, training, stems_dir, tmp_path / "work")
    network = checkpoint.load_network(tmp_path / "work" / "best")
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    eight = dataclasses.replace(training, batch_size=8)
    batch = next(iter(excerpts.random_excerpts(tracks, tiny_config, eight)))
    heard = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv1D):
            spread = float(np.std(keras.Model(network.input, layer.output)(batch[0])))
            source = layer.name.partition("output_")[2]
            level = float(np.std(batch[1][source])) if source else 1.0
            assert spread == pytest.approx(level, rel=0.011)
            heard.append(layer.name)
    assert len(heard) == 2 * tiny_config.num_levels + 2
    with pytest.raises(InputError, match="unit_variance needs a network of waveforms"):
        run(TINY_U7, training, stems_dir, tmp_path / "u7")


def test_gradients_are_scaled_down_to_the_norm_asked_for(
    stems_dir, tiny_config, tmp_path
):
    norms = {}
    for clip_norm in (0.0, 1e-3):
        training = dataclasses.replace(
            QUICK, clip_norm=clip_norm, steps_per_epoch=1, max_epochs=1
        )
        workdir = tmp_path / str(clip_norm)
        run(tiny_config, training, stems_dir, workdir)
        network = build_network(tiny_config)
        adam = build_adam(training)
        assert checkpoint.Checkpoint.open(workdir / "best").load_adam(network, adam)
        # Adam's first moments are a tenth of its first gradients.
        norms[clip_norm] = 10 * float(tf.linalg.global_norm(adam._momentums))
    assert norms[0.0] > 2e-3
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-4)


def test_saturated_outputs_end_the_training(stems_dir, tiny_config, tmp_path):
    network = build_network(tiny_config)
    for layer in network.layers:
        if layer.name.startswith("output_") and layer.weights:
            layer.bias.assign([9.0, -9.0])
    checkpoint.save_checkpoint(tmp_path / "start", network, tiny_config)
    training = dataclasses.replace(QUICK, steps_per_epoch=50)
    with pytest.raises(
        InputError, match=r"within ±0.99, but for 20 steps [5-9]\d% are"
    ):
        loop.train(
            tiny_config,
            training,
            data_dirs=[stems_dir],
            workdir=tmp_path / "work",
            init_from=tmp_path / "start",
        )


def test_the_sdr_needs_validation_tracks(stems_dir, tiny_config, tmp_path):
    shutil.rmtree(stems_dir / "valid")
    with pytest.raises(InputError, match="`best_by` sdr needs validation tracks"):
        run(tiny_config, COSINE, stems_dir, tmp_path / "by sdr")
    assert not (tmp_path / "by sdr").exists()
