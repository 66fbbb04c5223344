"""Real music with true stems, on which exported files are measured."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np

from waveunet_tf.audio import formats, resample
from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.data import datasets
from waveunet_tf.data.sigsep import import_sigsep, musdb_setup
from waveunet_tf.data.tracks import AudioStream, Track


@dataclasses.dataclass(frozen=True)
class ParitySong:
    """A part of a song and its true stems, at the network's rate.

    Attributes:
        name: The song's name, for errors and tables.
        mixture: `(frames, channels)`.
        stems: Source → `(frames, channels)`, without the sources that are not known.
    """

    name: str
    mixture: np.ndarray
    stems: dict[str, np.ndarray]


def example_track() -> Track:
    """Returns six seconds of real music with stems, from the package stempeg."""
    path = pathlib.Path(import_sigsep("stempeg").example_stem_path())
    streams = {
        name: AudioStream(path, number)
        for name, number in musdb_setup()["stem_ids"].items()
    }
    mixture = streams.pop("mixture")
    return Track(formats.song_name(path), "test", streams, mixture)


def find_parity_songs(
    data_dir: str | os.PathLike | None,
    config: NetworkConfig,
    *,
    max_songs: int,
    max_seconds: float = 30.0,
) -> list[ParitySong]:
    """Reads songs of a data set, spread evenly over its test, valid or train tracks.

    Args:
        data_dir: The folder of the data set; None takes `example_track`.
        config: The network's config.
        max_songs: The most songs to read.
        max_seconds: The longest part of a song to read, in seconds.

    Raises:
        InputError: The folder holds no tracks, or a track cannot be read.
    """
    if data_dir is None:
        return read_parity_songs([example_track()], config, max_seconds)
    tracks = datasets.find_tracks(data_dir)
    subsets = {track.subset for track in tracks}
    subset = next(name for name in ("test", "valid", "train") if name in subsets)
    tracks = [track for track in tracks if track.subset == subset]
    chosen = tracks[:: -(-len(tracks) // max_songs)]
    return read_parity_songs(chosen, config, max_seconds)


def read_parity_songs(
    tracks: list[Track], config: NetworkConfig, max_seconds: float
) -> list[ParitySong]:
    """Reads the middle of tracks, and resamples it to the network's rate.

    Args:
        tracks: Tracks with stems. A source that a track lacks is not scored, nor one
            that a teacher estimated.
        config: The network's config.
        max_seconds: The longest part of a song to read, in seconds.

    Raises:
        InputError: A track cannot be read.
    """
    songs = []
    for track in tracks:
        known = set() if track.estimates else {*track.sources, "accompaniment"}
        arrays, rate_hz = track.read(tuple(n for n in config.sources if n in known))
        frames = int(min(max_seconds * rate_hz, len(arrays["mixture"])))
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
