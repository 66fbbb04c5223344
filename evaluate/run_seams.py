r"""Measures and draws what happens where windows of a network without context meet.

    python -m evaluate.run_seams --checkpoint M2=~/m2/best --checkpoint M3=~/m3/best \
        --output_dir ~/figures song.wav

Writes OUTPUT_DIR/seams.png and .svg, spectrograms and waveforms around one seam, and
prints how much the steps at all seams stand out from those near them, in dB (see
evaluate/seams.py), and the same between seams, which tells what chance gives. Networks
with context have no seams: they are measured where those of another network are.
"""

import dataclasses
import pathlib

import tqdm
from absl import flags

from evaluate import figures, seams, systems, tables
from waveunet_tf.audio import io, resample
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.commands import app
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError

_CHECKPOINT = flags.DEFINE_multi_string(
    "checkpoint",
    None,
    "NAME=DIR: what to call a network, and its checkpoint or a model's name. Once or "
    "more.",
    required=True,
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The folder to write the figure in.", required=True
)
_SOURCE = flags.DEFINE_string("source", "vocals", "The source to draw.")
_AT = flags.DEFINE_float(
    "at_seconds",
    None,
    "Draw the seam nearest to this time. Default: the one whose step stands out most "
    "in the first network that has seams.",
    lower_bound=0,
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace a figure that exists.")


def read_configs(folders: dict[str, pathlib.Path]) -> dict[str, NetworkConfig]:
    """The networks' configs.

    Raises:
        InputError: a folder is no checkpoint, or has not the source to draw.
    """
    configs = {name: Checkpoint.open(folder).config for name, folder in folders.items()}
    for name, config in configs.items():
        if _SOURCE.value not in config.sources:
            raise InputError(
                f"--source must be of {folders[name]}: {', '.join(config.sources)}. "
                f"Received: {_SOURCE.value}"
            )
    return configs


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"takes one song. Received: {' '.join(arguments)}")
    folders = systems.named_folders(_CHECKPOINT.value)
    stem = pathlib.Path(_OUTPUT_DIR.value).expanduser() / "seams"
    figures.require_new([stem], _OVERWRITE.value)
    configs = read_configs(folders)
    song, rate_hz = io.read(pathlib.Path(arguments[0]).expanduser())
    places = seams.find_seams(configs, len(song) / rate_hz)

    from waveunet_tf.separation.separator import load_separator

    estimates: dict[str, list[seams.Estimate]] = {}
    for name, folder in tqdm.tqdm(folders.items(), "separate", disable=None):
        own_hz = configs[name].sample_rate_hz
        mixture = resample.resample(song, rate_hz, own_hz)
        for source, stem_audio in (
            load_separator(folder).separate(mixture, own_hz).items()
        ):
            estimates.setdefault(source, []).append(
                seams.Estimate(name, stem_audio, own_hz, *places[name])
            )
    drawn = estimates[_SOURCE.value]
    own = [estimate for estimate in drawn if estimate.has_seams]
    seconds = _AT.value
    if seconds is None:
        seconds = seams.outstanding_seam((own or drawn)[0])
    figures.save(seams.plot_seam(drawn, seconds, _SOURCE.value), stem)
    rows = [
        {
            "network": estimate.name,
            "source": source,
            "has_seams": str(estimate.has_seams),
            **dataclasses.asdict(estimate.measure()),
        }
        for source, all_of_it in estimates.items()
        for estimate in all_of_it
    ]
    print(tables.format_rows(list(rows[0]), rows, "text"))


if __name__ == "__main__":
    app.run(main, arguments="a song")
