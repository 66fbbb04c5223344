r"""Measures and draws what happens where windows of a network without context meet.

    waveunet seams --checkpoint M2=~/m2/best --checkpoint M3=~/m3/best \
        --output_dir ~/figures song.wav

Writes spectrograms and waveforms around one seam as OUTPUT_DIR/seams.png and .svg.
Prints how much the steps at all seams stand out from the steps near them, in dB
(`seams.measure_seams`), and the same between seams, where only chance acts.
A network with context has no seams: it is measured at those of another network.
"""

import dataclasses
import pathlib

import tqdm
from absl import flags, logging

from waveunet_tf.audio import io, resample
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.commands import app
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import figures, seams, tables
from waveunet_tf.evaluate.system_arguments import named_folders
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_multi_string(
    "checkpoint",
    None,
    "NAME=DIR: a network's name, and its checkpoint or a model's name. Once or more.",
    required=True,
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "The folder to write the figure in.",
    required=True,
    short_name="o",
)
_SOURCE = flags.DEFINE_string("source", "vocals", "The source to draw.")
_AT = flags.DEFINE_float(
    "at_seconds",
    None,
    "Draw the seam nearest to this time. Default: the seam whose step stands out most "
    "in the first network that has seams.",
    lower_bound=0,
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace a figure that exists.")


def read_configs(folders: dict[str, pathlib.Path]) -> dict[str, NetworkConfig]:
    """Reads the networks' configs.

    Raises:
        InputError: A folder is no checkpoint, or lacks the source to draw.
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
    """Separates the song with each network, draws one seam and prints the measures."""
    if len(arguments) > 1:
        raise app.UsageError(f"takes one song. Received: {' '.join(arguments)}")
    folders = named_folders(_CHECKPOINT.value)
    stem = pathlib.Path(_OUTPUT_DIR.value) / "seams"
    files.require_new(*figures.figure_paths(stem), overwrite=_OVERWRITE.value)
    configs = read_configs(folders)
    song, rate_hz = io.read(pathlib.Path(arguments[0]))
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
    for path in figures.save_figure(
        seams.plot_seam(drawn, seconds, _SOURCE.value), stem
    ):
        logging.info("%s", path)
    rows = [
        {
            "network": estimate.name,
            "source": source,
            "has_seams": str(estimate.has_seams),
            **dataclasses.asdict(estimate.measure()),
        }
        for source, of_source in estimates.items()
        for estimate in of_source
    ]
    print(tables.format_rows(list(rows[0]), rows, "text"))


if __name__ == "__main__":
    app.run(main, arguments="a song")
