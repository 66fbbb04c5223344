"""Made-up scores and energies of tracks."""

import numpy as np

from waveunet_tf.evaluate import energies
from waveunet_tf.evaluate.scores import METRICS, TrackScores


def track(name, **sources):
    """A track's scores, the same in all metrics."""
    arrays = {source: np.array(values, float) for source, values in sources.items()}
    frames = len(next(iter(arrays.values())))
    return TrackScores(
        name,
        np.arange(frames, dtype=float),
        {source: dict.fromkeys(METRICS, values) for source, values in arrays.items()},
    )


def track_energies(name, level_dbfs, samples=100, **more):
    """Energies of vocals of these levels, and of other sources."""
    series = {
        source: samples * 10 ** (np.array(values, float) / 10)
        for source, values in {"vocals": level_dbfs, **more}.items()
    }
    windows = np.full(len(level_dbfs), samples)
    return energies.TrackEnergies(name, 1.0, windows, series, series, series)
