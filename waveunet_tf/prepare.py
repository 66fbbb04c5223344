"""Any data set → a folder of stems at the model's rate, as MUSDB18-HQ has it."""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np
import tqdm

from waveunet_tf import audio, files
from waveunet_tf.errors import InputError
from waveunet_tf.tracks import Track

MANIFEST_VERSION = 1


def prepare(
    tracks: list[Track],
    output: str | os.PathLike,
    *,
    sample_rate_hz: int,
    sources: tuple[str, ...],
) -> list[str]:
    """Writes `<output>/<subset>/<track>/<source>.wav` and `mixture.wav`, 16 bit.

    A `manifest.json` beside them tells of each track its origin, its frames, and how
    far the sum of its sources is from its mixture.

    Args:
        tracks: the tracks.
        output: a folder that does not exist or is empty.
        sample_rate_hz: the model's sample rate in Hz.
        sources: names of the sources to write.

    Returns:
        One line for each track that could not be prepared; the others are done.

    Raises:
        InputError: the output folder holds something.
    """
    output = pathlib.Path(output)
    if output.exists() and any(output.iterdir()):
        raise InputError(f"{output}: must be a new or empty folder, but holds files")
    entries, failures = {}, []
    for track in tqdm.tqdm(tracks, desc="prepare", unit="track", disable=None):
        try:
            entry = _prepare_track(track, output, sample_rate_hz, sources)
        except (InputError, FileNotFoundError) as error:
            failures.append(f"{track.subset}/{track.name}: {error}")
        else:
            entries[f"{track.subset}/{track.name}"] = entry
    manifest = {
        "format_version": MANIFEST_VERSION,
        "sample_rate_hz": sample_rate_hz,
        "sources": list(sources),
        "tracks": entries,
    }
    with files.atomic_file(output / "manifest.json") as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return failures


def _prepare_track(
    track: Track, output: pathlib.Path, sample_rate_hz: int, sources: tuple[str, ...]
) -> dict:
    stems, rate_hz = track.read(sources)
    stems = {
        name: audio.resample(stem, rate_hz, sample_rate_hz)
        for name, stem in stems.items()
    }
    with files.atomic_folder(output / track.subset / track.name) as folder:
        for name, stem in stems.items():
            audio.write_wav(folder / f"{name}.wav", stem, sample_rate_hz)
    mixture = stems.pop("mixture")
    return {
        "origin": sorted({str(stream.path) for stream in track.sources.values()}),
        "frames": len(mixture),
        "channels": mixture.shape[1],
        "residual_db": round(_level_db(mixture - sum(stems.values()), mixture), 2),
    }


def _level_db(samples: np.ndarray, reference: np.ndarray) -> float:
    """Energy of `samples` over that of `reference`, in dB, at least -200."""
    ratio = np.sum(np.square(samples, dtype=np.float64)) / max(
        np.sum(np.square(reference, dtype=np.float64)), 1e-20
    )
    return float(10 * np.log10(max(ratio, 1e-20)))
