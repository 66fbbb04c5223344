"""Batches of random excerpts, as the tests of data look at them."""

import itertools

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import excerpts

TRAINING = TrainingConfig(batch_size=4, seed=5)


def first_batches(tracks, config, count, training=TRAINING, **arguments):
    """Reads one excerpt at a time unless told otherwise: each call takes a graph."""
    arguments = {"parallel_calls": 1, **arguments}
    batches = excerpts.random_excerpts(tracks, config, training, **arguments)
    return list(itertools.islice(batches.as_numpy_iterator(), count))


def flat(batches):
    return [
        array for mixture, sources in batches for array in (mixture, *sources.values())
    ]
