r"""Shows what a prepared data set holds.

    python -m waveunet_tf data --data_dir ~/prepared --plot excerpts.png \
        --listen ~/excerpts

Prints a table of tracks, hours, levels, silence and residuals; draws and writes a few
random excerpts, augmented as the flags say.
"""

import dataclasses
import pathlib

from absl import flags

from waveunet_tf.commands import app, config_flags
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.errors import InputError

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "What `prepare` wrote.", required=True
)
_PLOT = flags.DEFINE_string(
    "plot", None, "Draw excerpts into this picture: waveforms and spectrograms."
)
_LISTEN = flags.DEFINE_string(
    "listen", None, "Write excerpts into this folder, as wav files."
)
_EXCERPTS = flags.DEFINE_integer(
    "excerpts", 3, "How many excerpts to draw and to write.", lower_bound=1
)
_SECONDS = flags.DEFINE_float(
    "seconds", 3.0, "Length of these excerpts, in seconds.", lower_bound=0.01
)
_SUBSET = flags.DEFINE_enum(
    "subset", "train", ["train", "valid", "test"], "The subset to take excerpts of."
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace files that exist.")
config_flags.define_training_flags(
    {
        *("seed", "track_sampling", "min_gain", "remix_probability"),
        *("swap_probability", "polarity_probability", "dropout_probability"),
    }
)
flags.adopt_module_key_flags(config_flags)


def draw_excerpts(manifest: dict) -> list[dict]:
    """Random excerpts with the augmentation of the flags: mixture and sources."""
    import itertools

    from waveunet_tf.data import excerpts, prepared

    training = config_flags.training_config_from_flags("M4")
    rate_hz = manifest["sample_rate_hz"]
    config = WaveUNetConfig(
        num_levels=1,
        context=False,  # excerpts with nothing around them
        sample_rate_hz=rate_hz,
        output_frames=2 * max(round(_SECONDS.value * rate_hz / 2), 1),
        sources=tuple(manifest["sources"]),
        channels=min(
            (entry["channels"] for entry in manifest["tracks"].values()), default=2
        ),
    )
    tracks = prepared.load_prepared(_DATA_DIR.value, config, _SUBSET.value)
    batches = excerpts.random_excerpts(
        tracks, config, dataclasses.replace(training, batch_size=1)
    )
    return [
        {
            name: stem[0].numpy()
            for name, stem in {"mixture": mixture, **sources}.items()
        }
        for mixture, sources in itertools.islice(batches, _EXCERPTS.value)
    ]


def main(_):
    from waveunet_tf.data import inventory
    from waveunet_tf.data.manifest import read_manifest

    manifest = read_manifest(_DATA_DIR.value)
    if _PLOT.value and pathlib.Path(_PLOT.value).exists() and not _OVERWRITE.value:
        raise InputError(f"{_PLOT.value}: must be a new file, or --overwrite be given")
    listen = _LISTEN.value and pathlib.Path(_LISTEN.value)
    if listen and listen.exists() and any(listen.iterdir()) and not _OVERWRITE.value:
        raise InputError(f"{listen}: must be empty, or --overwrite be given")
    print(inventory.format_table(_DATA_DIR.value))
    if not (_PLOT.value or listen):
        return
    excerpts = draw_excerpts(manifest)
    rate_hz = manifest["sample_rate_hz"]
    if _PLOT.value:
        inventory.plot_excerpts(_PLOT.value, excerpts, rate_hz)
        print(_PLOT.value)
    if listen:
        for path in inventory.write_excerpts(listen, excerpts, rate_hz):
            print(path)


if __name__ == "__main__":
    app.run(main)
