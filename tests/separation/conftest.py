"""A separator that the tests of this room share."""

import pytest

import waveunet_tf


@pytest.fixture(scope="session")
def tiny_separator(kept_checkpoint):
    """The separator of a tiny network with random weights, in chunks of 512 frames."""
    return waveunet_tf.load(kept_checkpoint, engine="litert", chunk_frames=512)
