"""A training on Keras' JAX backend, with all stems on the device."""

from __future__ import annotations

import itertools
import math
import pathlib

import numpy as np

from examples.pretrained.stems import Stems, decode
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.system import files


def cut_excerpts(draws, stems, window, training: TrainingConfig) -> tuple:
    """Mixture and sources of excerpts, cut from stems on the device.

    Args:
        draws: `(batch, stems, DRAWS)`, see augmentation.excerpts_of.
        stems: frames and first frames of the tracks, and source → stem → codes.
        window: the network's.
        training: tells how.

    Returns:
        What `excerpts.random_excerpts` gives.
    """
    from keras import ops

    from waveunet_tf.data import augmentation

    frames, firsts, codes = stems
    drawn = augmentation.excerpts_of(draws, frames, window, training)
    lengths = ops.take(np.array(frames, np.int32), drawn.track)[..., None]
    places = drawn.start[..., None] + ops.arange(window.input_frames, dtype="int32")
    inside = ops.logical_and(places >= 0, places < lengths)
    gains = ops.where(inside, drawn.gain[..., None], 0.0)[..., None]
    places = ops.clip(places, 0, lengths - 1)
    places += ops.take(np.array(firsts, np.int32), drawn.track)[..., None]
    numbers = itertools.count()

    def cut(stem):
        number = next(numbers)
        excerpt = decode(ops.take(stem, places[:, number], axis=0))
        swapped = drawn.swapped[:, number, None, None]
        return gains[:, number] * ops.where(swapped, excerpt[..., ::-1], excerpt)

    sources = {source: sum(map(cut, of.values())) for source, of in codes.items()}
    first = window.context_frames
    centre = slice(first, first + window.output_frames)
    middle = {source: stem[:, centre] for source, stem in sources.items()}
    return sum(sources.values()), middle


class Trainer:
    """A training on one device; its state is a dict of lists of arrays."""

    def __init__(self, config: NetworkConfig, training: TrainingConfig, stems: Stems):
        """Builds network, optimizer and step.

        Args:
            config: the network.
            training: how it is trained.
            stems: the training tracks.
        """
        import jax
        import keras

        from waveunet_tf.networks import shapes
        from waveunet_tf.networks.build import build_network
        from waveunet_tf.training import initial_weights

        self.config, self.training = config, training
        self.window = shapes.window_frames(config)
        keras.utils.set_random_seed(training.seed)
        self.network = network = build_network(config)
        self.places = (stems.frames, stems.firsts.tolist())
        self.codes = jax.device_put(stems.codes)
        if training.first_weights == "unit_variance":
            draws = jax.numpy.asarray(self.draws(0, 8))
            tracks = (*self.places, self.codes)
            batch = cut_excerpts(draws, tracks, self.window, training)
            initial_weights.scale_to_unit_variance(network, *batch)
        adam = self._build_adam()
        weights = [variable.value for variable in network.trainable_variables]
        self.state = {
            "weights": weights,
            "averages": [jax.numpy.copy(weight) for weight in weights],
            "moments": [variable.value for variable in adam.variables],
        }
        # The codes are arguments, or they would be constants of the compiled step.
        self._step = jax.jit(self._build_step(adam), donate_argnums=0)
        self._estimate = jax.jit(self._estimates_of)

    def _build_adam(self):
        import keras

        training = self.training
        rate = training.learning_rate
        if training.learning_rate_schedule == "cosine":
            steps = training.steps_per_epoch * training.max_epochs
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        adam = keras.optimizers.Adam(
            rate, epsilon=1e-8, global_clipnorm=training.clip_norm or None
        )
        adam.build(self.network.trainable_variables)
        return adam

    def _build_step(self, adam):
        """A function of state, draws, the step's number and codes: loss and state."""
        import jax

        from waveunet_tf.networks import fused
        from waveunet_tf.training import losses

        training = self.training
        loss_of_waveforms = losses.of_waveforms(training)
        forward = fused.training_pass(self.config, self.network)
        frame_weights = np.ones((1, self.window.output_frames, 1), np.float32)

        def loss_of(weights, draws, codes):
            mixture, targets = cut_excerpts(
                draws, (*self.places, codes), self.window, training
            )
            with self.as_weights(weights):
                estimates = forward(mixture)
            ones = jax.numpy.repeat(frame_weights, len(mixture), axis=0)
            return loss_of_waveforms(targets, estimates, ones)

        def step(state, draws, number, codes):
            loss, gradients = jax.value_and_grad(loss_of)(
                state["weights"], draws, codes
            )
            weights, moments = adam.stateless_apply(
                state["moments"], gradients, state["weights"]
            )
            momentum = training.average_momentum
            momentum = jax.numpy.minimum(momentum, (1 + number) / (10 + number))
            averages = [
                momentum * average + (1 - momentum) * weight
                for average, weight in zip(state["averages"], weights)
            ]
            state = {"weights": weights, "averages": averages, "moments": moments}
            return loss, state

        return step

    def draws(self, step: int, count: int) -> np.ndarray:
        """The draws of a step's excerpts, a function of the seed and the step."""
        from waveunet_tf.data import augmentation

        generator = np.random.default_rng([self.training.seed, step])
        stems = sum(map(len, self.codes.values()))
        shape = (count, stems, augmentation.DRAWS)
        # Rounded to float32, a draw may be 1.
        return np.minimum(generator.random(shape), 1 - 2**-24).astype(np.float32)

    def as_weights(self, weights):
        """Within it the network has these."""
        import keras

        pairs = zip(self.network.trainable_variables, weights)
        return keras.StatelessScope(state_mapping=list(pairs))

    def run_epoch(self, epoch: int) -> float:
        """Runs its steps; gives their mean loss."""
        first = epoch * self.training.steps_per_epoch
        losses = []
        for step in range(first, first + self.training.steps_per_epoch):
            draws = self.draws(step, self.training.batch_size)
            loss, self.state = self._step(self.state, draws, float(step), self.codes)
            losses.append(loss)
        mean = float(np.mean([float(loss) for loss in losses]))
        if not math.isfinite(mean):
            raise InputError(
                f"The loss must stay a finite number, but is {mean} in epoch "
                f"{epoch + 1}; a lower `learning_rate` may help"
            )
        return mean

    def _estimates_of(self, weights, mixture):
        with self.as_weights(weights):
            return self.network(mixture)

    def validation_sdr_db(self, stems: Stems) -> dict[str, float | None]:
        """Each source's median SDR over whole tracks, with averaged weights."""
        from waveunet_tf.training import metrics

        hop, context = self.window.output_frames, self.window.context_frames
        sources = self.config.sources
        energies = np.zeros((len(sources), 2, len(stems.frames)))
        for number, (first, frames) in enumerate(zip(stems.firsts, stems.frames)):
            true = {
                name: sum(
                    np.asarray(decode(codes[first : first + frames]))
                    for codes in stems.codes[name].values()
                )
                for name in sources
            }
            beyond = -frames % hop
            mixture = np.pad(sum(true.values()), ((context, context + beyond), (0, 0)))
            for start in range(0, frames, hop):
                window = mixture[None, start : start + self.window.input_frames]
                estimates = self._estimate(self.state["averages"], window)
                for place, name in enumerate(sources):
                    target = true[name][start : start + hop]
                    error = target - np.asarray(estimates[name])[0, : len(target)]
                    energies[place, 0, number] += np.square(target).sum()
                    energies[place, 1, number] += np.square(error).sum()
        return metrics.median_sdr_db(sources, energies)

    def save_best(self, directory: pathlib.Path) -> None:
        """Writes the averages as a checkpoint."""
        from waveunet_tf.checkpoints import checkpoint

        for variable, value in zip(
            self.network.trainable_variables, self.state["averages"]
        ):
            variable.assign(value)
        checkpoint.save_checkpoint(directory, self.network, self.config, self.training)

    def save(self, path: pathlib.Path, epoch: int, best: float) -> None:
        """Writes the state after so many epochs."""
        arrays = {
            f"{name}/{number}": np.asarray(array)
            for name, list_ in self.state.items()
            for number, array in enumerate(list_)
        }
        with files.atomic_file(path) as part, part.open("wb") as out:
            np.savez(out, epoch=epoch, best=best, **arrays)

    def load(self, path: pathlib.Path) -> tuple[int, float]:
        """Goes where a state was saved; gives the epochs done, and the best SDR."""
        with np.load(path) as file:
            self.state = {
                name: [file[f"{name}/{number}"] for number in range(len(list_))]
                for name, list_ in self.state.items()
            }
            return int(file["epoch"]), float(file["best"])
