import dataclasses
import json

import pytest

from waveunet_tf.configs.networks import ARCHITECTURES, VARIANTS
from waveunet_tf.configs.training import (
    VARIANT_TRAINING,
    ComputeConfig,
    TrainingConfig,
)
from waveunet_tf.errors import InputError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: 0"),
        ({"learning_rate": 0.0}, "`learning_rate` must be greater than 0"),
        ({"min_gain": 1.5}, "`min_gain` must be at most 1"),
        ({"max_epochs": 0}, "`max_epochs` must be at least 1"),
        ({"learning_rate": float("inf")}, "`learning_rate` must be finite"),
        ({"sdr_floor_db": float("-inf")}, "`sdr_floor_db` must be finite"),
        ({"learning_rate": 10**400}, "`learning_rate` must be finite"),
    ],
)
def test_training_config_refuses_what_cannot_train(values, message):
    with pytest.raises(InputError) as error:
        TrainingConfig(**values)
    assert message in str(error.value)


def test_training_differs_as_in_the_originals_config():
    assert {
        name: (training.batch_size, training.loss)
        for name, training in VARIANT_TRAINING.items()
        if training != TrainingConfig()
    } == {"M7": (4, "mse"), "U7": (4, "mse"), "U7a": (4, "magnitude_l1")}
    assert set(VARIANT_TRAINING) == set(VARIANTS)


def test_a_cosine_needs_its_end_and_one_stage():
    with pytest.raises(InputError, match="cosine needs `max_epochs`, and no"):
        TrainingConfig(learning_rate_schedule="cosine", fine_tuning=False)
    with pytest.raises(InputError, match="cosine needs `max_epochs`, and no"):
        TrainingConfig(learning_rate_schedule="cosine", max_epochs=3)


def test_a_training_of_an_earlier_version_has_todays_defaults():
    training = TrainingConfig(batch_size=3)
    values = training.to_dict()
    del values["clip_norm"], values["average_momentum"]
    assert TrainingConfig.from_dict(values) == training
    with pytest.raises(InputError, match="has the fields"):
        TrainingConfig.from_dict({**values, "clip": 1})


def test_the_defaults_are_the_papers():
    """Section 4.2: Adam at 1e-4, then 1e-5, batches of 16, then 32, patience 20."""
    training = TrainingConfig()
    assert (training.learning_rate, training.fine_tuning_learning_rate) == (1e-4, 1e-5)
    assert (training.batch_size, training.second_batch_size) == (16, 32)
    assert (training.steps_per_epoch, training.patience) == (2000, 20)
    assert (training.min_gain, training.loss) == (0.7, "mse")
    assert training.fine_tuning
    assert training.max_epochs is None


def test_what_is_not_in_the_paper_is_off_by_default():
    training = TrainingConfig()
    assert training.learning_rate_schedule == "constant"
    assert (training.first_weights, training.best_by) == ("glorot", "loss")
    for name in ("clip_norm", "average_momentum", "remix_probability"):
        assert getattr(training, name) == 0
    for name in ("swap_probability", "polarity_probability", "dropout_probability"):
        assert getattr(training, name) == 0


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variants_training_survives_json(name):
    training = VARIANT_TRAINING[name]
    values = json.loads(json.dumps(training.to_dict()))
    assert TrainingConfig.from_dict(values) == training


@pytest.mark.parametrize("values", [None, [], "batch_size", 3])
def test_json_that_is_no_object_is_refused(values):
    with pytest.raises(InputError, match="TrainingConfig has the fields"):
        TrainingConfig.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strategy": "parameter_server"}, "`strategy` must be one of none, mirrored"),
        ({"device": "tpu"}, "`device` must be one of auto, cpu, gpu"),
        ({"precision": "float64"}, "`precision` must be one of auto, float32"),
        ({"num_threads": 0}, "`num_threads` must be at least 1. Received: 0"),
        ({"accumulate_steps": 0}, "`accumulate_steps` must be at least 1"),
        ({"jit_compile": 1}, "`jit_compile` must be of type bool"),
    ],
)
def test_compute_config_refuses_what_nothing_computes_with(values, message):
    with pytest.raises(InputError) as error:
        ComputeConfig(**values)
    assert message in str(error.value)


def test_a_flag_belongs_to_one_config_only():
    """`train` has them all; a network's are shared by the architectures."""
    network = set()
    for config_class in ARCHITECTURES.values():
        network |= {field.name for field in dataclasses.fields(config_class)}
    training = {field.name for field in dataclasses.fields(TrainingConfig)}
    compute = {field.name for field in dataclasses.fields(ComputeConfig)}
    assert not network & training
    assert not (network | training) & compute


@pytest.mark.parametrize(
    "config_class", [TrainingConfig, ComputeConfig, *ARCHITECTURES.values()]
)
def test_every_field_has_a_help_of_whole_sentences(config_class):
    for field in dataclasses.fields(config_class):
        text = field.metadata["help"]
        assert text[0].isupper() or text.startswith(tuple(field.metadata["choices"]))
        assert text.endswith("."), f"{field.name}: {text}"


def test_a_trainings_help_says_what_each_choice_does():
    for field in dataclasses.fields(TrainingConfig):
        for choice in field.metadata["choices"]:
            assert f"{choice}: " in field.metadata["help"]
