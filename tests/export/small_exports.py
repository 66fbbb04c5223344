"""Small networks, songs and converted files that the tests of exports share."""

import keras
import numpy as np

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.export import quantize, tflite
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network

CHUNK = 1024


def save_network(directory, config, seed=1):
    """Saves a checkpoint of random weights; gives the network."""
    keras.utils.set_random_seed(seed)
    network = build_network(config)
    checkpoint.save_checkpoint(directory, network, config)
    return network


def music(frames, channels=2):
    """Tones and noise, which have the peaks and the tails of music."""
    generator = np.random.default_rng(5)
    time = np.arange(frames)[:, None]
    tones = np.sin(time * generator.uniform(0.01, 0.3, (1, channels)))
    loud = 0.3 * tones + generator.laplace(0, 0.05, (frames, channels))
    return loud.clip(-1, 1).astype(np.float32)


def export(directory, path, *, mode="streaming", chunk=CHUNK, kind="float32"):
    """Writes a file of a checkpoint; gives its content."""
    plan = tflite.plan(directory, mode, chunk)
    frames = 6 * CHUNK if mode == "streaming" else CHUNK  # windows here are short
    excerpts = [music(frames, plan.config.channels)]
    ((_, content),) = quantize.convert_plan(plan, [kind], excerpts)
    path.write_bytes(content)
    return content


def one_pass(config, network, song):
    """The Keras network once over the song, with silence before and after it."""
    window = shapes.window_frames(config, len(song))
    context = window.context_frames
    after = window.input_frames - context - len(song)
    padded = np.pad(song, ((context, after), (0, 0)))[None]
    return {
        name: np.asarray(stem)[0, : len(song)]
        for name, stem in network(padded.astype("f")).items()
    }
