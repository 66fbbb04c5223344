"""A training on Keras' JAX backend, with all stems on the device."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np

from examples.pretrained.budget import Budget
from examples.pretrained.coded_stems import CodedStems, decode_samples
from examples.pretrained.device_excerpts import cut_excerpts, draw_numbers
from examples.pretrained.weight_arrays import read_weights
from waveunet_tf.checkpoints.adam import EPSILON
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.training.guard import Guard, Lost, Place, StepNumbers
from waveunet_tf.training.schedule import learning_rate

# Steps whose numbers are fetched together: fetching them waits for the device.
_FETCHED_STEPS = 20


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
        guard: What watches the steps.
        budget: The time that the training may take; None: `max_epochs` end it.
    """

    def __init__(
        self,
        config: NetworkConfig,
        training: TrainingConfig,
        stems: CodedStems,
        budget: Budget | None = None,
    ):
        """Builds network and optimizer.

        Args:
            config: The config of the network.
            training: How the network is trained.
            stems: The training tracks.
            budget: The time that the training may take. The learning rate then falls
                as a cosine over the time that is left after the warm-up.
        """
        import jax
        import keras

        from waveunet_tf.networks import fused, shapes
        from waveunet_tf.networks.build import build_network
        from waveunet_tf.training import initial_weights, losses

        self.config, self.training, self.budget = config, training, budget
        self.window = shapes.window_frames(config)
        keras.utils.set_random_seed(training.seed)
        self.network = network = build_network(config)
        self.stems = dataclasses.replace(stems, codes=jax.device_put(stems.codes))
        if training.first_weights == "unit_variance":
            draws = jax.numpy.asarray(draw_numbers(self.stems, training, 0, 8))
            batch = cut_excerpts(draws, self.stems, self.window, training)
            initial_weights.scale_to_unit_variance(network, *batch)
        self._forward = fused.training_pass(config, network)
        self._loss_of_waveforms = losses.of_waveforms(training)
        self._adam = self._build_adam()
        self.guard = Guard()
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

        adam = keras.optimizers.Adam(
            self.training.learning_rate,
            epsilon=EPSILON,
            global_clipnorm=self.training.clip_norm or None,
        )
        adam.build(self.network.trainable_variables)
        return adam

    def _loss(self, weights, draws, codes):
        """Computes the loss of a batch, as a function of the weights.

        Returns:
            The loss; the mixture's loss and the saturated share.
        """
        from waveunet_tf.training import losses

        stems = dataclasses.replace(self.stems, codes=codes)
        mixture, targets = cut_excerpts(draws, stems, self.window, self.training)
        with self._network_with(weights):
            estimates = self._forward(mixture)
        frame_weights = np.ones((len(mixture), self.window.output_frames, 1), "f")
        loss = self._loss_of_waveforms(targets, estimates, frame_weights)
        centre = mixture[:, self.window.context_frames :][
            :, : self.window.output_frames
        ]
        mixture_loss = self._loss_of_waveforms(
            targets, dict.fromkeys(targets, centre), frame_weights
        )
        return loss, (mixture_loss, losses.saturated_share(estimates))

    def _next_state(self, state, draws, number, rate, codes):
        """Takes a step; returns its StepNumbers and the state after it."""
        import jax

        (loss, (mixture_loss, saturated)), gradients = jax.value_and_grad(
            self._loss, has_aux=True
        )(state["weights"], draws, codes)
        squares = [jax.numpy.vdot(gradient, gradient) for gradient in gradients]
        norm = jax.numpy.sqrt(sum(squares))
        moments = [
            jax.numpy.float32(rate) if variable is self._adam._learning_rate else value
            for variable, value in zip(self._adam.variables, state["moments"])
        ]
        weights, moments = self._adam.stateless_apply(
            moments, gradients, state["weights"]
        )
        momentum = self.training.average_momentum
        momentum = jax.numpy.minimum(momentum, (1 + number) / (10 + number))
        averages = [
            momentum * average + (1 - momentum) * weight
            for average, weight in zip(state["averages"], weights)
        ]
        numbers = StepNumbers(loss, mixture_loss, norm, saturated)
        return numbers, {"weights": weights, "averages": averages, "moments": moments}

    def _estimates(self, weights, mixture):
        with self._network_with(weights):
            return self.network(mixture)

    def _network_with(self, weights):
        """Returns a context in which the network has these weights."""
        import keras

        pairs = zip(self.network.trainable_variables, weights)
        return keras.StatelessScope(state_mapping=list(pairs))

    def run_epoch(self, epoch: int) -> float:
        """Runs the steps of an epoch.

        Args:
            epoch: The number of the epoch, from 0.

        Returns:
            The mean of their losses.

        Raises:
            LostAt: The training cannot learn any more.
            InputError: The excerpts are not finite, or the memory is too small.
        """
        first = epoch * self.training.steps_per_epoch
        losses = []
        for numbers in self._steps(first, self.training.steps_per_epoch):
            place = Place(0, epoch, first + len(losses), len(losses))
            try:
                self.guard.check(
                    numbers, place.step, warmup_steps=self.training.warmup_steps
                )
            except Lost as lost:
                raise LostAt(place, lost) from lost
            losses.append(numbers.loss)
        return float(np.mean(losses))

    def _steps(self, first: int, count: int) -> Iterator[StepNumbers]:
        """Runs steps from the number `first` on, some ahead of what it yields."""
        waiting = []
        for step in range(first, first + count):
            draws = draw_numbers(
                self.stems, self.training, step, self.training.batch_size
            )
            numbers, self.state = self._step(
                self.state, draws, float(step), self.rate(step), self.stems.codes
            )
            waiting.append(numbers)
            if len(waiting) == _FETCHED_STEPS or step == first + count - 1:
                for numbers in waiting:
                    yield StepNumbers(*map(float, numbers))
                if self.budget:
                    self.budget.steps += len(waiting)
                    if self.budget.is_over:
                        return
                waiting = []

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step."""
        rate = learning_rate(self.training, step) * self.guard.rate_factor
        if self.budget and step >= self.training.warmup_steps:
            rate *= self.budget.rate_factor()
        return rate

    def start_from(self, paths: Sequence[str | os.PathLike]) -> None:
        """Begins with other weights than random ones.

        Args:
            paths: See `read_weights`.

        Raises:
            InputError: The weights are of another network.
            OSError: A file cannot be read.
        """
        import jax

        shapes = [weight.shape for weight in self.state["weights"]]
        weights = read_weights(paths, shapes)
        self.state["weights"] = [jax.numpy.asarray(weight) for weight in weights]
        self.state["averages"] = [jax.numpy.array(weight) for weight in weights]

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


class LostAt(Exception):
    """Says where a training was lost, and how.

    Attributes:
        place: Where.
        lost: How.
    """

    def __init__(self, place: Place, lost: Lost):
        """Takes where and how."""
        super().__init__(str(lost))
        self.place, self.lost = place, lost
