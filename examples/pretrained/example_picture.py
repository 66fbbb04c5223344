r"""Draws an excerpt of a prepared track, and what a model makes of it, as spectrograms.

    python -m examples.pretrained.example_picture --checkpoint vocals \
        --track work/eir-1.0/valid/Sodium --start_seconds 60 --output picture.png
"""

from __future__ import annotations

import pathlib

import soundfile
from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "vocals", "A checkpoint, or a model's name."
)
_TRACK = flags.DEFINE_string(
    "track", None, "A track's folder, as `prepare` wrote it.", required=True
)
_START_SECONDS = flags.DEFINE_float("start_seconds", 0.0, "Where it begins.")
_DURATION_SECONDS = flags.DEFINE_float("duration_seconds", 10.0, "How long it is.")
_OUTPUT = flags.DEFINE_string("output", None, "The png file to write.", required=True)


def main(_):
    import waveunet_tf
    from evaluate import figures
    from evaluate.report import spectrogram_picture

    separator = waveunet_tf.load(_CHECKPOINT.value)
    sources = [*separator.config.sources]
    excerpt = {}
    for name in ("mixture", *sources):
        path = pathlib.Path(_TRACK.value) / f"{name}.wav"
        with soundfile.SoundFile(path) as file:
            rate_hz = file.samplerate
            file.seek(round(_START_SECONDS.value * rate_hz))
            frames = round(_DURATION_SECONDS.value * rate_hz)
            excerpt[name] = file.read(frames, dtype="float32", always_2d=True)
    if not len(excerpt["mixture"]):
        raise InputError(f"{_TRACK.value}: must be longer than `start_seconds`")
    estimates = separator.separate(excerpt["mixture"], rate_hz)
    panels = {"mixture": excerpt["mixture"]}
    for name in reversed(sources):
        panels[f"{name}, true"] = excerpt[name]
        panels[f"{name}, estimate"] = estimates[name]
    figure, axes = figures.make_panels([*panels], columns=1, size=(8, 1.5))
    for (panel,), samples in zip(axes, panels.values()):
        panel.imshow(
            spectrogram_picture.power_db(samples, rate_hz),
            aspect="auto",
            origin="lower",
            cmap="magma",
            vmin=-90,
            vmax=-20,
            extent=(0, len(samples) / rate_hz, 0, 1),
        )
        labels, heights = zip(*spectrogram_picture.frequency_marks(rate_hz))
        panel.set_yticks(heights, labels)
        panel.set_ylabel("Hz")
    panel.set_xlabel("seconds")
    with files.atomic_file(pathlib.Path(_OUTPUT.value)) as part:
        figure.savefig(part, dpi=80, format="png")
    print(_OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
