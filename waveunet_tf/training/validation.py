"""The validation of a network in training on whole tracks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import keras
import numpy as np
from absl import logging

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.data import prepared, windows
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.errors import InputError
from waveunet_tf.training import checks, metrics
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.guard import Lost
from waveunet_tf.training.objective import Objective
from waveunet_tf.training.step import Scores, ValidationStep


class Validation:
    """The validation tracks, and the step that scores them.

    Attributes:
        tracks: The validation tracks; the list may be empty.
    """

    def __init__(
        self,
        tracks: list[PreparedTrack],
        config: NetworkConfig,
        training: TrainingConfig,
        compute: ComputeConfig,
        devices: Devices,
        *,
        network: keras.Model,
        objective: Objective,
    ):
        """Builds the step.

        Args:
            tracks: The validation tracks.
            config: The network's config.
            training: The batch's size, the mixture, and the score of an epoch.
            compute: Whether XLA compiles.
            devices: The devices.
            network: The network, scored with the weights that it has at the time.
            objective: The loss.

        Raises:
            InputError: There are no tracks, but their SDR is the score of an epoch; or
                a track lacks the mixture that is to be separated.
        """
        self.tracks, self._config, self._devices = tracks, config, devices
        if not tracks:
            if training.best_by == "sdr":
                raise InputError(
                    "`best_by` sdr needs validation tracks, but the data has none "
                    "(valid/)"
                )
            logging.warning(
                "no validation tracks (valid/): the best checkpoint is that of the "
                "lowest training loss"
            )
            return
        self._step = ValidationStep(
            devices, network, objective, compute, num_tracks=len(tracks)
        )
        of_all = training.batch_size
        if training.validation_mixture == "file":
            tracks = prepared.with_mixtures(tracks, config)

        def make(worker, workers, batch_size):
            return windows.whole_track_windows(
                tracks,
                config,
                batch_size=batch_size,
                multiple_of=of_all,
                worker=worker,
                workers=workers,
            ).repeat()

        self._batches = devices.distribute(make, of_all)
        self._count = -(-windows.count_windows(tracks, config) // of_all)

    def run(
        self, should_stop: Callable[[], bool]
    ) -> tuple[float | None, dict | None] | None:
        """Scores all tracks once.

        Args:
            should_stop: Called before every batch.

        Returns:
            The loss over all frames, and each source's median SDR over tracks in dB;
            None for both without tracks. None where a worker asks to stop.

        Raises:
            InputError: A track cannot be read or is not finite; the memory is too
                small; or a worker is gone.
            Lost: The loss is not finite.
        """
        if not self.tracks:
            return None, None
        loss = weight = energies = 0.0
        for scores in self._scores(should_stop):
            if float(scores.stops):
                return None
            loss += float(scores.loss)
            weight += float(scores.weight)
            energies += scores.energies.numpy().astype(np.float64)
        if not np.isfinite(energies[:, 0]).all():
            raise InputError(
                "All samples of the validation tracks must be finite numbers, but some "
                "are not; `waveunet data` looks at what was prepared"
            )
        if not math.isfinite(loss):
            raise Lost(f"The validation loss must stay a finite number, but is {loss}")
        return loss / weight, metrics.median_sdr_db(self._config.sources, energies)

    def _scores(self, should_stop: Callable[[], bool]) -> Iterator[Scores]:
        """Yields the scores of each batch; some batches start ahead of what it yields.

        See Descent.run, which runs steps so.
        """
        waiting = []
        for number in range(1, self._count + 1):
            asks = float(should_stop())
            batch = checks.next_batch(self._batches, "validation tracks")
            waiting.append(checks.call_on_devices(self._step, batch, asks))
            ends = number == self._count or (asks and self._devices.workers == 1)
            if ends or number % self._devices.steps_at_once == 0:
                yield from waiting
                waiting = []
