"""A training on Keras' JAX backend, with all stems on the device."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import time

import numpy as np

from examples.pretrained.coded_stems import CodedStems, decode_samples
from waveunet_tf.checkpoints.adam import EPSILON
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.system import files


def cut_excerpts(draws, stems: CodedStems, window, training: TrainingConfig) -> tuple:
    """Cuts and augments excerpts on the device.

    Args:
        draws: `(batch, stems, DRAWS)` random numbers, each uniform in [0, 1); see
            augmentation.excerpts_of.
        stems: The tracks; their codes may be tensors of the backend.
        window: The frames of the network's window, a shapes.WindowFrames.
        training: How to draw tracks and to augment.

    Returns:
        The mixture `(batch, frames, channels)` of the window's input frames, and source
        → `(batch, frames, channels)` of its output frames.
    """
    from keras import ops

    from waveunet_tf.data import augmentation

    drawn = augmentation.excerpts_of(draws, stems.frames, window, training)
    lengths = ops.take(np.array(stems.frames, np.int32), drawn.track)[..., None]
    places = drawn.start[..., None] + ops.arange(window.input_frames, dtype="int32")
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
            inputs[source] += gains[:, number] * excerpt
            number += 1
    first = window.context_frames
    targets = {
        source: stem[:, first : first + window.output_frames]
        for source, stem in inputs.items()
    }
    return sum(inputs.values()), targets


class Trainer:
    """A training on one device.

    Attributes:
        config: The config of the network.
        training: How the network is trained.
        window: The frames of the network's window.
        network: The network.
        stems: The training tracks, their codes on the device.
        state: "weights", "averages" (moving averages of the weights) and "moments"
            (Adam's) → a list of arrays.
    """

    def __init__(
        self, config: NetworkConfig, training: TrainingConfig, stems: CodedStems
    ):
        """Builds network and optimizer.

        Args:
            config: The config of the network.
            training: How the network is trained.
            stems: The training tracks.
        """
        import jax
        import keras

        from waveunet_tf.networks import fused, shapes
        from waveunet_tf.networks.build import build_network
        from waveunet_tf.training import initial_weights, losses

        self.config, self.training = config, training
        self.window = shapes.window_frames(config)
        keras.utils.set_random_seed(training.seed)
        self.network = network = build_network(config)
        self.stems = dataclasses.replace(stems, codes=jax.device_put(stems.codes))
        if training.first_weights == "unit_variance":
            batch = cut_excerpts(
                jax.numpy.asarray(self.draws(0, 8)), self.stems, self.window, training
            )
            initial_weights.scale_to_unit_variance(network, *batch)
        self._forward = fused.training_pass(config, network)
        self._loss_of_waveforms = losses.of_waveforms(training)
        self._adam = self._build_adam()
        weights = [variable.value for variable in network.trainable_variables]
        self.state = {
            "weights": weights,
            "averages": [jax.numpy.copy(weight) for weight in weights],
            "moments": [variable.value for variable in self._adam.variables],
        }
        # The codes are arguments, or they would be constants of the compiled step.
        self._step = jax.jit(self._next_state, donate_argnums=0)
        self._estimate = jax.jit(self._estimates)

    def _build_adam(self):
        import keras

        training = self.training
        rate = training.learning_rate
        if training.learning_rate_schedule == "cosine":
            steps = training.steps_per_epoch * training.max_epochs
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        adam = keras.optimizers.Adam(
            rate, epsilon=EPSILON, global_clipnorm=training.clip_norm or None
        )
        adam.build(self.network.trainable_variables)
        return adam

    def _loss(self, weights, draws, codes):
        """Computes the loss of a batch, as a function of the weights."""
        stems = dataclasses.replace(self.stems, codes=codes)
        mixture, targets = cut_excerpts(draws, stems, self.window, self.training)
        with self._network_with(weights):
            estimates = self._forward(mixture)
        frame_weights = np.ones((len(mixture), self.window.output_frames, 1), "f")
        return self._loss_of_waveforms(targets, estimates, frame_weights)

    def _next_state(self, state, draws, number, codes):
        """Takes a step; returns its loss and the state after it."""
        import jax

        loss, gradients = jax.value_and_grad(self._loss)(state["weights"], draws, codes)
        weights, moments = self._adam.stateless_apply(
            state["moments"], gradients, state["weights"]
        )
        momentum = self.training.average_momentum
        momentum = jax.numpy.minimum(momentum, (1 + number) / (10 + number))
        averages = [
            momentum * average + (1 - momentum) * weight
            for average, weight in zip(state["averages"], weights)
        ]
        return loss, {"weights": weights, "averages": averages, "moments": moments}

    def _estimates(self, weights, mixture):
        with self._network_with(weights):
            return self.network(mixture)

    def _network_with(self, weights):
        """Returns a context in which the network has these weights."""
        import keras

        pairs = zip(self.network.trainable_variables, weights)
        return keras.StatelessScope(state_mapping=list(pairs))

    def draws(self, step: int, count: int) -> np.ndarray:
        """Draws the random numbers of a step, a function of the seed and the step.

        Args:
            step: The number of the step.
            count: The number of excerpts.

        Returns:
            float32 `(count, stems, DRAWS)`, each uniform in [0, 1).
        """
        from waveunet_tf.data import augmentation

        generator = np.random.default_rng([self.training.seed, step])
        stems = sum(map(len, self.stems.codes.values()))
        shape = (count, stems, augmentation.DRAWS)
        # Rounded to float32, a draw may be 1.
        return np.minimum(generator.random(shape), 1 - 2**-24).astype(np.float32)

    def run_epoch(self, epoch: int) -> float:
        """Runs the steps of an epoch.

        Args:
            epoch: The number of the epoch, from 0.

        Returns:
            The mean of their losses.

        Raises:
            InputError: The mean is not a finite number.
        """
        first = epoch * self.training.steps_per_epoch
        losses = []
        for step in range(first, first + self.training.steps_per_epoch):
            draws = self.draws(step, self.training.batch_size)
            loss, self.state = self._step(
                self.state, draws, float(step), self.stems.codes
            )
            losses.append(loss)
        mean = float(np.mean([float(loss) for loss in losses]))
        if not math.isfinite(mean):
            raise InputError(
                "The loss must stay a finite number; a lower `learning_rate` may help. "
                f"Received: {mean} in epoch {epoch + 1}"
            )
        return mean

    def validation_sdr_db(self, stems: CodedStems) -> dict[str, float | None]:
        """Computes each source's median SDR over whole tracks, with averaged weights.

        Args:
            stems: The validation tracks.

        Returns:
            Source → dB; None if the source is silent in all tracks.
        """
        from waveunet_tf.training import metrics

        sources = self.config.sources
        energies = np.zeros((len(sources), 2, len(stems.frames)))
        for number, (first, frames) in enumerate(zip(stems.firsts, stems.frames)):
            true = {
                name: sum(
                    np.asarray(decode_samples(codes[first : first + frames]))
                    for codes in stems.codes[name].values()
                )
                for name in sources
            }
            energies[:, :, number] = self._track_energies(true)
        return metrics.median_sdr_db(sources, energies)

    def _track_energies(self, true: dict[str, np.ndarray]) -> np.ndarray:
        """Sums the squares of each source and of its estimate's error.

        Args:
            true: Source → `(frames, channels)`.

        Returns:
            `(sources, 2)`.
        """
        hop, context = self.window.output_frames, self.window.context_frames
        energies = np.zeros((len(true), 2))
        mixture = sum(true.values())
        frames = len(mixture)
        mixture = np.pad(mixture, ((context, context + -frames % hop), (0, 0)))
        for start in range(0, frames, hop):
            window = mixture[None, start : start + self.window.input_frames]
            estimates = self._estimate(self.state["averages"], window)
            for place, (name, stem) in enumerate(true.items()):
                target = stem[start : start + hop]
                error = target - np.asarray(estimates[name])[0, : len(target)]
                energies[place, 0] += np.square(target).sum()
                energies[place, 1] += np.square(error).sum()
        return energies

    def save_best(self, directory: str | os.PathLike) -> None:
        """Writes the averages of the weights as a checkpoint.

        Args:
            directory: The folder of the checkpoint.
        """
        from waveunet_tf.checkpoints.checkpoint import save_checkpoint

        for variable, value in zip(
            self.network.trainable_variables, self.state["averages"]
        ):
            variable.assign(value)
        save_checkpoint(directory, self.network, self.config, self.training)

    def save(self, path: str | os.PathLike, epochs: int, best: float) -> None:
        """Writes the state.

        Args:
            path: The .npz file.
            epochs: The number of epochs done.
            best: The highest mean SDR so far, in dB.
        """
        arrays = {
            f"{name}/{number}": np.asarray(array)
            for name, list_ in self.state.items()
            for number, array in enumerate(list_)
        }
        with files.atomic_file(path) as part, part.open("wb") as out:
            np.savez(out, epoch=epochs, best=best, **arrays)

    def load(self, path: str | os.PathLike) -> tuple[int, float]:
        """Reads the state that `save` wrote.

        Args:
            path: The .npz file.

        Returns:
            The number of epochs done, and the highest mean SDR, in dB.
        """
        with np.load(path) as file:
            self.state = {
                name: [file[f"{name}/{number}"] for number in range(len(list_))]
                for name, list_ in self.state.items()
            }
            return int(file["epoch"]), float(file["best"])


def run_training(
    trainer: Trainer,
    validation: CodedStems,
    workdir: str | os.PathLike,
    *,
    max_seconds: float | None = None,
) -> None:
    """Trains to the last epoch, from where an earlier call in the folder stopped.

    Args:
        trainer: The training.
        validation: The validation tracks.
        workdir: The folder for `best`, `history.jsonl` and `state.npz`.
        max_seconds: The time after which no further epoch begins; one is done always.

    Raises:
        InputError: The loss is not a finite number any more.
        OSError: A file cannot be written.
    """
    began = time.monotonic()
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    first, best = 0, -math.inf
    if (workdir / "state.npz").exists():
        first, best = trainer.load(workdir / "state.npz")
    for epoch in range(first, trainer.training.max_epochs):
        started = time.monotonic()
        if max_seconds is not None and epoch > first and started - began > max_seconds:
            break
        loss = trainer.run_epoch(epoch)
        sdr = trainer.validation_sdr_db(validation)
        record = {
            "epoch": epoch + 1,
            "loss": loss,
            "validation_sdr_db": sdr,
            "seconds": round(time.monotonic() - started, 2),
        }
        print(json.dumps(record), flush=True)
        with (workdir / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        mean = float(np.mean([level for level in sdr.values() if level is not None]))
        if mean > best:
            best = mean
            trainer.save_best(workdir / "best")
        trainer.save(workdir / "state.npz", epoch + 1, best)
