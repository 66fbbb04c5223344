"""Separates songs by one separator, in a process of its own; peers.py starts it.

    python -m benchmarks.peer_child < job.json

The job is JSON: `separator` (a key of SEPARATORS), `path` (of its network), and
`songs`, each with its `mixture`, and `vocals` and `accompaniment`, the wav files to
write. Prints JSON last: `ended`, the monotonic time at which each song was done, and
`peak_mib`, the process's own peak memory.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
from collections.abc import Callable

from benchmarks.common import peak_memory_mib
from waveunet_tf.commands import app

SOURCES = ("accompaniment", "vocals")
"""What every separator gives."""
# The mixture's file, source → the file to write.
Separate = Callable[[str, dict[str, str]], None]


def load_wave_u_net(path: str) -> Separate:
    """Loads a checkpoint or a model by its folder."""
    import waveunet_tf

    separator = waveunet_tf.load(path)
    return lambda song, stems: separator.separate_file(song, stems, bit_depth=32)


def load_spleeter(path: str) -> Separate:
    """Loads Spleeter, from the weights that `spleeter_weights` wrote.

    The accompaniment is the mixture less the vocals. Spleeter's own lacks what is above
    11 kHz.
    """
    from examples.pretrained.spleeter import SpleeterTeacher
    from waveunet_tf.audio.encode import AudioWriter

    teacher = SpleeterTeacher(path)

    def separate(song: str, stems: dict[str, str]) -> None:
        with teacher.open(pathlib.Path(song), ("vocals",)) as lesson:
            form = (lesson.sample_rate_hz, lesson.channels)
            with (
                AudioWriter(stems["vocals"], *form, bit_depth=32) as vocals,
                AudioWriter(stems["accompaniment"], *form, bit_depth=32) as rest,
            ):
                for block in lesson.blocks():
                    vocals.write(block["vocals"])
                    rest.write(block["mixture"] - block["vocals"])

    return separate


SEPARATORS: dict[str, Callable[[str], Separate]] = {
    "wave_u_net": load_wave_u_net,
    "spleeter": load_spleeter,
}


def main() -> None:
    """Does the job of the standard input."""
    job = json.load(sys.stdin)
    separate = SEPARATORS[job["separator"]](job["path"])
    ended = []
    for song in job["songs"]:
        separate(song["mixture"], {source: song[source] for source in SOURCES})
        ended.append(time.monotonic())
    print(json.dumps({"ended": ended, "peak_mib": peak_memory_mib()}))


if __name__ == "__main__":
    sys.exit(app.exit_code_of(main))
