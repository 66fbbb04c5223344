"""Excerpts of stems that lie on the device, cut and augmented there."""

from __future__ import annotations

import numpy as np

from examples.pretrained.coded_stems import CodedStems, decode_samples
from waveunet_tf.configs.training import TrainingConfig


def draw_numbers(
    stems: CodedStems, training: TrainingConfig, step: int, count: int
) -> np.ndarray:
    """Draws the random numbers of a step, a function of the seed and the step.

    Args:
        stems: The tracks.
        training: The seed, and what is drawn.
        step: The number of the step.
        count: The number of excerpts.

    Returns:
        float32 `(count, stems, count_draws)`, each uniform in [0, 1).
    """
    from waveunet_tf.data import augmentation

    generator = np.random.default_rng([training.seed, step])
    shape = (count, sum(map(len, stems.codes.values())))
    draws = generator.random((*shape, augmentation.count_draws(training)))
    # Rounded to float32, a draw may be 1.
    return np.minimum(draws, 1 - 2**-24).astype(np.float32)


def cut_excerpts(draws, stems: CodedStems, window, training: TrainingConfig) -> tuple:
    """Cuts and augments excerpts on the device.

    Args:
        draws: `(batch, stems, count_draws)` random numbers, each uniform in [0, 1); see
            augmentation.excerpts_of.
        stems: The tracks; their codes may be tensors of the backend.
        window: The frames of the network's window, a shapes.WindowFrames.
        training: How to draw tracks and to augment.

    Returns:
        The mixture `(batch, frames, channels)` of the window's input frames, and source
        → `(batch, frames, channels)` of its output frames.
    """
    from keras import ops

    from waveunet_tf.data import augmentation, speeds

    drawn = augmentation.excerpts_of(
        draws, stems.frames, window, training, stems.weights
    )
    lengths = ops.take(np.array(stems.frames, np.int32), drawn.track)[..., None]
    frames = speeds.frames_read(window.input_frames, training)
    places = drawn.start[..., None] + ops.arange(frames, dtype="int32")
    inside = ops.logical_and(places >= 0, places < lengths)
    gains = ops.where(inside, drawn.gain[..., None], 0.0)[..., None]
    places = ops.clip(places, 0, lengths - 1)
    places += ops.take(np.array(stems.firsts, np.int32), drawn.track)[..., None]

    inputs, number = {}, 0  # the stems' number, over all sources
    for source, codes_of_stems in stems.codes.items():
        inputs[source] = 0.0
        for codes in codes_of_stems.values():
            excerpt = decode_samples(ops.take(codes, places[:, number], axis=0))
            swapped = drawn.swapped[:, number, None, None]
            excerpt = ops.where(swapped, excerpt[..., ::-1], excerpt)
            excerpt = gains[:, number] * excerpt
            if drawn.speed is not None:
                excerpt = speeds.play(
                    excerpt, drawn.speed[:, number], window.input_frames, training
                )
            inputs[source] += excerpt
            number += 1
    first = window.context_frames
    targets = {
        source: stem[:, first : first + window.output_frames]
        for source, stem in inputs.items()
    }
    return sum(inputs.values()), targets
