"""How well a network in training separates whole validation tracks."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
from absl import logging

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.data import excerpts
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.errors import InputError
from waveunet_tf.training import checks, metrics
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.step import validation_scores


class Validation:
    """The validation tracks, and what scores them.

    Attributes:
        tracks: there may be none.
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
        objective: Callable,
    ):
        """Builds the scores.

        Args:
            tracks: of all data.
            config: the network's.
            training: the batch's size, and by what the best epoch is told.
            compute: how it is computed.
            devices: on which.
            network: what is scored, with the weights that it has at the time.
            objective: the loss, of objective.build_objective.

        Raises:
            InputError: there are no tracks, but the best epoch is told by their SDR.
        """
        self.tracks, self._config = tracks, config
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
        self._scores = validation_scores(
            devices, network, objective, compute, len(tracks)
        )
        of_all = training.batch_size

        def make(worker, workers, batch_size):
            return excerpts.whole_track_windows(
                tracks,
                config,
                batch_size=batch_size,
                multiple_of=of_all,
                worker=worker,
                workers=workers,
            ).repeat()

        self._batches = devices.distribute(make, of_all)
        self._count = -(-excerpts.count_windows(tracks, config) // of_all)

    def run(
        self, should_stop: Callable[[], bool]
    ) -> tuple[float | None, dict | None] | None:
        """Separates all tracks once.

        Args:
            should_stop: asked before every batch.

        Returns:
            The loss over all frames, and each source's median SDR over tracks in dB;
            None for both without tracks. None where a worker asks to stop.

        Raises:
            InputError: a track cannot be read; the loss is not finite; see
                checks.computed.
        """
        if not self.tracks:
            return None, None
        loss = weight = energies = 0.0
        for _ in range(self._count):
            stops = float(should_stop())
            batch = checks.next_batch(self._batches, "validation tracks")
            scores = checks.computed(self._scores, batch, stops)
            if float(scores.stops):
                return None
            loss += float(scores.loss)
            weight += float(scores.weight)
            energies += scores.energies.numpy().astype(np.float64)
        if not math.isfinite(loss):
            raise InputError(
                "The validation loss must stay a finite number, but is "
                f"{loss}; are all samples of the validation tracks finite?"
            )
        return loss / weight, metrics.median_sdr_db(self._config.sources, energies)
