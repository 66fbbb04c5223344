"""The paper's rank-based statistics of scores (paper, section 5.2), and comparisons.

Nearly silent seconds have extreme SDRs, which dominate a mean. So the paper reports the
median and the median absolute deviation (MAD) beside mean and standard deviation.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies as energy_metrics
from waveunet_tf.evaluate.energies import TrackEnergies
from waveunet_tf.evaluate.scores import METRICS, TrackScores

_RESAMPLES = 9999
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Summary:
    """Statistics of one metric of one source over all tracks, in dB.

    The values of museval's metrics are its frames, those of PES the silent windows;
    wSDR and nSDR have one value a track.

    Attributes:
        median: The median of all values that are not NaN.
        mad: Their median absolute deviation from the median.
        mean: Their mean.
        sd: Their standard deviation.
        track_median: The median of the tracks' medians.
        frames: The number of values, NaN included.
        nan_frames: The number of frames without a score (a silent source or estimate).
        tracks: The number of tracks that have the source.
        track_median_low: The lower end of the 95 % interval of `track_median`, by a
            bootstrap over tracks (percentiles of 9999 resamples, with a fixed seed);
            NaN for fewer than two tracks with a score.
        track_median_high: The upper end of the interval.
    """

    median: float
    mad: float
    mean: float
    sd: float
    track_median: float
    frames: int
    nan_frames: int
    tracks: int
    track_median_low: float
    track_median_high: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A paired test of two systems on the medians of the tracks that both have.

    Attributes:
        first: The first system.
        second: The second system.
        source: The source that is compared.
        metric: The metric that is compared.
        tracks: The number of tracks in which both have a score.
        difference: The median over tracks of first − second, in dB.
        p_value: p of the two-sided Wilcoxon signed-rank test, not corrected for the
            number of tests; 1 if no track differs, NaN without tracks.
    """

    first: str
    second: str
    source: str
    metric: str
    tracks: int
    difference: float
    p_value: float


def track_values(
    tracks: Mapping[str, TrackScores],
    metric: str = "SDR",
    *,
    energies: Mapping[str, TrackEnergies] | None = None,
    silence_dbfs: float = -math.inf,
) -> dict[str, dict[str, np.ndarray]]:
    """Returns a metric's values, by source and track.

    Args:
        tracks: Track → a system's scores.
        metric: One of scores.METRICS or energies.METRICS.
        energies: Track → energies, for energies.METRICS.
        silence_dbfs: The highest level that counts as silence for PES, in dBFS.

    Returns:
        Source → track → `(values,)` in dB.

    Raises:
        InputError: The metric is unknown, or energies are missing or of another song.
    """
    known = (*METRICS, *energy_metrics.METRICS)
    if metric not in known:
        raise InputError(
            f"`metric` must be one of {', '.join(known)}. Received: {metric}"
        )
    values: dict[str, dict[str, np.ndarray]] = {}
    for name, track in tracks.items():
        if metric in energy_metrics.METRICS:
            energy = matching_energies(track, energies, energy_metrics.METRICS[metric])
        for source, metrics in track.sources.items():
            if metric in METRICS:
                own = metrics[metric]
            elif metric == "PES":
                own = energy_metrics.predicted_energy_at_silence_db(
                    energy, source, silence_dbfs=silence_dbfs
                )
            elif metric == "wSDR":
                reference = energy.reference[source][: energy.frames]
                own = [energy_metrics.weighted_sdr_db(metrics["SDR"], reference)]
            else:
                own = [energy_metrics.whole_track_sdr_db(energy, source)]
            values.setdefault(source, {})[name] = np.asarray(own, np.float64)
    return values


def matching_energies(
    track: TrackScores,
    energies: Mapping[str, TrackEnergies] | None,
    series: str = "reference",
) -> TrackEnergies:
    """Returns the energies that belong to a track's scores.

    Args:
        track: The track's scores.
        energies: Track → energies.
        series: The series of TrackEnergies that is needed.

    Raises:
        InputError: The energies are missing, or have other frames or sources.
    """
    energy = (energies or {}).get(track.name)
    if energy is None or (missing := set(track.sources) - set(getattr(energy, series))):
        what = f" of the {series} of {min(missing)}" if energy else ""
        raise InputError(
            f"{track.name}: has no energies{what}, as `waveunet score` writes them"
        )
    if energy.frames != len(track.times):
        raise InputError(
            f"{track.name}: scores and energies must have the same frames. Received: "
            f"{len(track.times)} and {energy.frames}"
        )
    return energy


def summarize(
    tracks: Mapping[str, TrackScores], metric: str = "SDR", **options
) -> dict[str, Summary]:
    """Summarises a system's scores.

    Args:
        tracks: Track → a system's scores.
        metric: One of scores.METRICS or energies.METRICS.
        **options: Further arguments of `track_values`.

    Returns:
        Source → summary.

    Raises:
        InputError: The metric is unknown, or energies are missing or of another song.
    """
    return summarize_values(track_values(tracks, metric, **options))


def summarize_values(
    values: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Summary]:
    """Summarises values.

    Args:
        values: Source → track → `(values,)` in dB, as `track_values` returns them.

    Returns:
        Source → summary.
    """
    return {source: _summary(list(values[source].values())) for source in values}


def summarize_systems(
    systems: Mapping[str, Mapping[str, TrackScores]],
    energies: Mapping[str, Mapping[str, TrackEnergies]],
    metrics: Iterable[str],
    *,
    left_out: Callable[[InputError], Any],
    silence_dbfs: float = -math.inf,
) -> tuple[dict[str, dict[str, dict[str, Summary]]], list[Comparison]]:
    """Summarises several metrics of several systems, and compares every two systems.

    Args:
        systems: System → track → scores.
        energies: System → track → energies, for energies.METRICS.
        metrics: Some of scores.METRICS and energies.METRICS.
        left_out: Called with an error for each metric that a system cannot have.
        silence_dbfs: The highest level that counts as silence for PES, in dBFS.

    Returns:
        System → metric → source → summary, and the comparisons.
    """
    summaries: dict[str, dict] = {name: {} for name in systems}
    comparisons = []
    for metric in metrics:
        values = {}
        for name, tracks in systems.items():
            try:
                values[name] = track_values(
                    tracks,
                    metric,
                    energies=energies.get(name),
                    silence_dbfs=silence_dbfs,
                )
            except InputError as error:
                left_out(InputError(f"{name}: {metric} is left out: {error}"))
            else:
                summaries[name][metric] = summarize_values(values[name])
        comparisons += compare_systems(values, metric)
    return summaries, comparisons


def statistics(values: np.ndarray) -> dict[str, float]:
    """Returns median, MAD, mean and SD of all values but NaN, and counts of values.

    Args:
        values: `(frames,)`.
    """
    scored = values[~np.isnan(values)]
    counts = {"frames": len(values), "nan_frames": len(values) - len(scored)}
    if not len(scored):
        return {**dict.fromkeys(("median", "mad", "mean", "sd"), math.nan), **counts}
    median = np.median(scored)
    return {
        "median": float(median),
        "mad": float(np.median(np.abs(scored - median))),
        "mean": float(scored.mean()),
        "sd": float(scored.std()),
        **counts,
    }


def _summary(tracks: list[np.ndarray]) -> Summary:
    medians = np.array([_median(track) for track in tracks])
    medians = medians[~np.isnan(medians)]
    low, high = _median_interval(medians)
    return Summary(
        **statistics(np.concatenate(tracks)),
        track_median=float(np.median(medians)) if len(medians) else math.nan,
        tracks=len(tracks),
        track_median_low=low,
        track_median_high=high,
    )


def _median(values: np.ndarray) -> float:
    scored = values[~np.isnan(values)]
    return float(np.median(scored)) if len(scored) else math.nan


def _median_interval(medians: np.ndarray) -> tuple[float, float]:
    if len(medians) < 2:
        return math.nan, math.nan
    from scipy import stats  # takes a second to import

    interval = stats.bootstrap(
        (medians,),
        np.median,
        n_resamples=_RESAMPLES,
        confidence_level=0.95,
        method="percentile",
        random_state=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def compare_systems(
    systems: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]], metric: str
) -> list[Comparison]:
    """Tests every two systems against each other, for every source that both have.

    Args:
        systems: System → source → track → `(values,)`, as `track_values` returns them.
        metric: The metric's name.
    """
    comparisons = []
    for first, second in itertools.combinations(systems, 2):
        for source in sorted(set(systems[first]) & set(systems[second])):
            one, other = systems[first][source], systems[second][source]
            common = [name for name in one if name in other]
            pairs = np.array(
                [(_median(one[name]), _median(other[name])) for name in common]
            ).reshape(-1, 2)
            differences = np.diff(pairs[~np.isnan(pairs).any(axis=1), ::-1])[:, 0]
            comparisons.append(
                Comparison(
                    first,
                    second,
                    source,
                    metric,
                    len(differences),
                    _median(differences),
                    _wilcoxon(differences),
                )
            )
    return comparisons


def _wilcoxon(differences: np.ndarray) -> float:
    if not len(differences):
        return math.nan
    if not differences.any():
        return 1.0
    from scipy import stats

    return float(stats.wilcoxon(differences).pvalue)
