"""Real music to measure artefacts on."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np

from waveunet_tf.audio import formats, resample
from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.data import datasets
from waveunet_tf.data.sigsep import import_sigsep, musdb_setup
from waveunet_tf.data.tracks import AudioStream, Track


@dataclasses.dataclass(frozen=True)
class ParitySong:
    """A song and its true stems, at the network's rate.

    Attributes:
        name: for errors.
        mixture: `(frames, channels)`.
        stems: source → `(frames, channels)`, as far as they are known.
    """

    name: str
    mixture: np.ndarray
    stems: dict[str, np.ndarray]


def example_track() -> Track:
    """Six seconds of real music with stems, which the package stempeg carries."""
    path = pathlib.Path(import_sigsep("stempeg").example_stem_path())
    streams = {
        name: AudioStream(path, number)
        for name, number in musdb_setup()["stem_ids"].items()
    }
    mixture = streams.pop("mixture")
    return Track(formats.song_name(path), "test", streams, mixture)


def find_parity_songs(
    data_dir: str | os.PathLike | None,
    config,
    *,
    max_songs: int,
    max_seconds: float = 30.0,
) -> list[ParitySong]:
    """Reads songs of a data set, spread evenly over its test, valid or train tracks.

    Args:
        data_dir: the data set (see datasets.find_tracks); None: `example_track`.
        config: of the network.
        max_songs: how many.
        max_seconds: of a song.

    Raises:
        InputError: see datasets.find_tracks and tracks.Track.read.
    """
    if data_dir is None:
        return read_parity_songs([example_track()], config, max_seconds)
    tracks = datasets.find_tracks(data_dir)
    subsets = {track.subset for track in tracks}
    subset = next(name for name in ("test", "valid", "train") if name in subsets)
    tracks = [track for track in tracks if track.subset == subset]
    return read_parity_songs(
        tracks[:: -(-len(tracks) // max_songs)], config, max_seconds
    )


def read_parity_songs(
    tracks: list[Track], config, max_seconds: float
) -> list[ParitySong]:
    """Reads tracks, at the network's rate; of each the middle.

    Args:
        tracks: with stems; what they lack of the network's sources is not scored.
        config: of the network.
        max_seconds: of a song.

    Raises:
        InputError: see tracks.Track.read.
    """
    songs = []
    for track in tracks:
        known = {*track.sources, "accompaniment"}
        arrays, rate_hz = track.read(tuple(n for n in config.sources if n in known))
        frames = min(int(max_seconds * rate_hz), len(arrays["mixture"]))
        start = (len(arrays["mixture"]) - frames) // 2
        arrays = {
            name: resample.resample(
                to_channels(array[start : start + frames], config.channels),
                rate_hz,
                config.sample_rate_hz,
            )
            for name, array in arrays.items()
        }
        mixture = arrays.pop("mixture")
        songs.append(ParitySong(track.label, mixture, arrays))
    return songs
