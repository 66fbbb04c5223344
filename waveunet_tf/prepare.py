"""Any data set → a folder of stems at the model's rate, as MUSDB18-HQ has it."""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np
import tqdm
from absl import logging

from waveunet_tf import audio, files
from waveunet_tf.errors import InputError
from waveunet_tf.tracks import Track

MANIFEST_VERSION = 1
_MANIFEST = "manifest.json"
# A lossy codec leaves about -28 dB of a mixture; much more is another song.
_MAX_RESIDUAL_DB = -10


def prepare(
    tracks: list[Track],
    output: str | os.PathLike,
    *,
    sample_rate_hz: int,
    sources: tuple[str, ...],
) -> list[str]:
    """Writes `<output>/<subset>/<track>/<source>.wav` and `mixture.wav`, 16 bit.

    A `manifest.json` beside them tells of each track its origin, its frames, how many
    samples were clipped, and how far the sum of its sources is from its mixture. A
    track of the manifest is not prepared again, so that a stopped run goes on.

    Args:
        tracks: the tracks.
        output: a folder that is new, empty, or of an earlier run of the same settings.
        sample_rate_hz: the model's sample rate in Hz.
        sources: names of the sources to write.

    Returns:
        One line for each track that could not be prepared; the others are done.

    Raises:
        InputError: the output folder holds something else.
        OSError: the output folder cannot be written.
    """
    output = pathlib.Path(output)
    settings = {
        "format_version": MANIFEST_VERSION,
        "sample_rate_hz": sample_rate_hz,
        "sources": list(sources),
    }
    entries = _entries_of_earlier_run(output, settings)
    failures = []
    logging.info("preparing %d tracks at %d Hz", len(tracks), sample_rate_hz)
    for track in tqdm.tqdm(tracks, desc="prepare", unit="track", disable=None):
        label = f"{track.subset}/{track.name}"
        if label in entries:
            continue
        try:
            stems = _stems(track, sample_rate_hz, sources)
        except (InputError, OSError) as error:
            reason = str(error)
            failures.append(
                reason if reason.startswith(label) else f"{label}: {reason}"
            )
            continue
        clipped = {name: stem.clip(-1, 1) for name, stem in stems.items()}
        folder = output / track.subset / track.name
        if not folder.exists():  # it does if a run was stopped before its manifest
            with files.atomic_folder(folder) as part:
                for name, stem in clipped.items():
                    audio.write_wav(part / f"{name}.wav", stem, sample_rate_hz)
        entries[label] = entry = _entry(track, stems, clipped)
        if entry["clipped_samples"]:
            logging.warning("%s: %d samples clipped", label, entry["clipped_samples"])
        if entry["residual_db"] > _MAX_RESIDUAL_DB:
            logging.warning(
                "%s: its mixture is not the sum of its sources: what is left has %.1f "
                "dB of it",
                label,
                entry["residual_db"],
            )
        with files.atomic_file(output / _MANIFEST) as part:
            manifest = {**settings, "tracks": entries}
            part.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return failures


def _entries_of_earlier_run(output: pathlib.Path, settings: dict) -> dict:
    if not output.exists() or not any(output.iterdir()):
        return {}
    path = output / _MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        entries = manifest.pop("tracks")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{output}: must be new, empty, or of an earlier run, but holds files "
            f"without a {_MANIFEST} that can be read"
        ) from error
    if manifest != settings:
        raise InputError(
            f"{output}: must be of an earlier run with {settings}, but its {_MANIFEST} "
            f"has {manifest}"
        )
    return entries


def _stems(
    track: Track, sample_rate_hz: int, sources: tuple[str, ...]
) -> dict[str, np.ndarray]:
    stems, rate_hz = track.read(sources)
    return {
        name: audio.resample(stem, rate_hz, sample_rate_hz)
        for name, stem in stems.items()
    }


def _entry(track: Track, stems: dict, clipped: dict) -> dict:
    mixture = clipped["mixture"]
    rest = mixture - sum(stem for name, stem in clipped.items() if name != "mixture")
    return {
        "origin": sorted({str(stream.path) for stream in track.sources.values()}),
        "frames": len(mixture),
        "channels": mixture.shape[1],
        "clipped_samples": sum(
            int(np.count_nonzero(stems[name] != clipped[name])) for name in stems
        ),
        "residual_db": round(_level_db(rest, mixture), 2),
    }


def _level_db(samples: np.ndarray, reference: np.ndarray) -> float:
    """Energy of `samples` over that of `reference`, in dB, at least -200."""
    ratio = np.sum(np.square(samples, dtype=np.float64)) / max(
        np.sum(np.square(reference, dtype=np.float64)), 1e-20
    )
    return float(10 * np.log10(max(ratio, 1e-20)))
