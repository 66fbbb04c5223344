"""Writes the files of a track that the page loads: audio, pictures, scores.

A page from the file system may load scripts and pictures, but may not fetch other
files. So audio and numbers are in a script, which the page loads when one chooses its
track.
"""

from __future__ import annotations

import base64
import json
import math
import pathlib
import tempfile
from typing import Any

import numpy as np
from absl import logging

from waveunet_tf.audio import encode, formats, resample
from waveunet_tf.evaluate.report import spectrogram_picture
from waveunet_tf.evaluate.report.selection import Excerpt
from waveunet_tf.evaluate.scores import TrackScores

AUDIO_FORMATS = ("opus", "flac")
# The chart ends here, for extreme SDRs would flatten the rest. Their numbers are shown.
_MIN_CHART_DB, _MAX_CHART_DB = -25.0, 40.0


def write_track_files(
    folder: pathlib.Path,
    number: int,
    excerpt: Excerpt,
    scores: dict[str, TrackScores],
    *,
    audio_format: str = "opus",
) -> None:
    """Writes `<number>.js`, and a spectrogram of each lane as `<number>-<lane>.png`.

    Args:
        folder: The folder to write in.
        number: The track's place in the page.
        excerpt: The excerpt to be heard.
        scores: System → its scores of the track, for every system of the page.
        audio_format: One of AUDIO_FORMATS: opus (lossy, 256 kbit/s) or flac.
    """
    folder.mkdir(exist_ok=True)
    groups = [{"title": "mixture", "lanes": [("mixture", None, excerpt.mixture)]}]
    for source, reference in excerpt.references.items():
        lanes = [("true stem", None, reference)]
        for place, system in enumerate(scores):
            if source in excerpt.estimates.get(system, ()):
                lanes.append((system, place, excerpt.estimates[system][source]))
        chart = _chart(source, excerpt, scores)
        groups.append({"title": source, "lanes": lanes, "chart": chart})
    loudest = max(np.abs(lane[2]).max() for group in groups for lane in group["lanes"])
    full_db = spectrogram_picture.power_db(
        excerpt.mixture, excerpt.sample_rate_hz
    ).max()
    count = 0
    for group in groups:
        for place, (title, system, samples) in enumerate(group["lanes"]):
            picture = folder / f"{number}-{count}.png"
            levels_db = spectrogram_picture.power_db(samples, excerpt.sample_rate_hz)
            spectrogram_picture.write_picture(picture, levels_db - full_db)
            group["lanes"][place] = {
                "title": title,
                "system": system,
                "peaks": _peaks(samples / (loudest or 1)),
                "spectrogram": f"{folder.name}/{picture.name}",
                "audio": _encode(
                    samples,
                    excerpt.sample_rate_hz,
                    audio_format,
                    label=f"{excerpt.name}: {group['title']}: {title}",
                ),
            }
            count += 1
    content = {
        "name": excerpt.name,
        "start": excerpt.start_seconds,
        "duration": excerpt.duration_seconds,
        "marks": spectrogram_picture.frequency_marks(excerpt.sample_rate_hz),
        "groups": groups,
    }
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    path = folder / f"{number}.js"
    path.write_text(f"showTrack({text});\n", encoding="ascii")


def _peaks(samples: np.ndarray) -> list[list[float]]:
    """Returns the highest and lowest samples of pieces, one a spectrogram's column.

    Args:
        samples: `(frames, channels)`.
    """
    columns = min(spectrogram_picture.COLUMNS, len(samples))
    starts = np.linspace(0, len(samples), columns, endpoint=False).astype(int)
    return [
        reach.reduceat(extreme(samples, axis=1), starts).round(3).tolist()
        for reach, extreme in [(np.maximum, np.max), (np.minimum, np.min)]
    ]


def _encode(samples: np.ndarray, rate_hz: int, audio_format: str, *, label: str) -> str:
    """Returns the bytes in base64 of a file of `(frames, channels)`, mono or stereo."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"audio.{audio_format}"
        file_rate_hz = formats.nearest_rate_hz(path, rate_hz)
        samples = resample.resample(samples, rate_hz, file_rate_hz)
        channels = samples.shape[1]
        with encode.AudioWriter(path, file_rate_hz, channels) as writer:
            writer.write(samples)
        if writer.clipped_samples:
            logging.warning(
                "%s: %d samples are beyond full scale; the page clips them",
                label,
                writer.clipped_samples,
            )
        return base64.b64encode(path.read_bytes()).decode("ascii")


def _chart(
    source: str, excerpt: Excerpt, scores: dict[str, TrackScores]
) -> dict[str, Any] | None:
    """Returns each system's SDR by frame, in the track's time; None without any."""
    begin, end = excerpt.start_seconds, excerpt.start_seconds + excerpt.duration_seconds
    series, values = [], []
    for place, track in enumerate(scores.values()):
        if source not in track.sources:
            continue
        length = float(np.diff(track.times).min()) if len(track.times) > 1 else 1.0
        inside = (track.times + length > begin) & (track.times < end)
        if not inside.any():
            continue
        sdr = track.sources[source]["SDR"][inside]
        values += sdr[np.isfinite(sdr)].tolist()
        series.append(
            {
                "system": place,
                "length": length,
                "times": track.times[inside].tolist(),
                "sdr": [value if math.isfinite(value) else None for value in sdr],
            }
        )
    if not series:
        return None
    low, high = min(values, default=0.0), max(values, default=0.0)
    low = min(max(low, _MIN_CHART_DB), _MAX_CHART_DB - 1)
    high = max(min(high, _MAX_CHART_DB), low + 1)
    return {"series": series, "low": math.floor(low - 1), "high": math.ceil(high + 1)}
