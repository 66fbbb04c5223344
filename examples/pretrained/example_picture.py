r"""Draws a part of a prepared track, and a model's estimates of it, as spectrograms.

    python -m examples.pretrained.example_picture --checkpoint vocals-small \
        --track work/eir-1.0/valid/Sodium --start_seconds 60 --output picture.png

The picture has the mixture, and of each source the true stem and the estimate. With
--notrue_stems it has no true stems, as docs/separated.png.
"""

from __future__ import annotations

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "vocals-small", "A checkpoint, or a model's name."
)
_TRACK = flags.DEFINE_string(
    "track", None, "The folder of a track, as `prepare` wrote it.", required=True
)
_START_SECONDS = flags.DEFINE_float(
    "start_seconds", 0.0, "Where the part begins.", lower_bound=0
)
_DURATION_SECONDS = flags.DEFINE_float(
    "duration_seconds", 10.0, "How long the part is.", lower_bound=0.1
)
_TRUE_STEMS = flags.DEFINE_bool("true_stems", True, "Draw the true stems, too.")
_OUTPUT = flags.DEFINE_string("output", None, "The png file to write.", required=True)


def main(_):
    """Writes the picture."""
    import waveunet_tf
    from examples.pretrained.spectrogram_panels import draw_panels, read_part

    separator = waveunet_tf.load(_CHECKPOINT.value)
    sources = separator.config.sources
    true, rate_hz = read_part(
        _TRACK.value,
        ("mixture", *sources),
        _START_SECONDS.value,
        _DURATION_SECONDS.value,
    )
    estimates = separator.separate(true["mixture"], rate_hz)
    panels = {"mixture": true["mixture"]}
    for name in reversed(sources):
        if _TRUE_STEMS.value:
            panels[f"{name}, true"] = true[name]
        panels[f"{name}, estimate"] = estimates[name]
    figure = draw_panels(panels, rate_hz)
    with files.atomic_file(_OUTPUT.value) as part:
        figure.savefig(part, dpi=80, format="png")
    print(_OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
