r"""Shows what a prepared data set holds.

    waveunet data --data_dir ~/prepared --plot excerpts.png \
        --listen ~/excerpts

Prints a table of tracks, hours, levels, silence and residuals. Draws and writes a few
random excerpts, with the augmentation of the flags.
"""

from absl import flags

from waveunet_tf.commands import app, config_flags
from waveunet_tf.system import files

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The folder that `prepare` wrote.", required=True
)
_PLOT = flags.DEFINE_string(
    "plot", None, "Draw excerpts into this picture: waveforms and spectrograms."
)
_LISTEN = flags.DEFINE_string(
    "listen", None, "Write excerpts into this folder, as wav files."
)
_EXCERPTS = flags.DEFINE_integer(
    "excerpts", 3, "Number of excerpts to draw and to write.", lower_bound=1
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
        "max_speed_change",
    }
)
flags.adopt_module_key_flags(config_flags)


def main(_):
    """Prints the table; draws and writes excerpts as the flags say."""
    from waveunet_tf.data import inventory, manifest

    training = config_flags.training_config_from_flags("M4")
    rate_hz = manifest.read_manifest(_DATA_DIR.value)["sample_rate_hz"]
    asked = [path for path in (_PLOT.value, _LISTEN.value) if path]
    files.require_new(*asked, overwrite=_OVERWRITE.value)
    if _PLOT.value:
        inventory.check_picture(_PLOT.value, _EXCERPTS.value)
    print(inventory.format_table(_DATA_DIR.value))
    if not asked:
        return
    excerpts = inventory.draw_excerpts(
        _DATA_DIR.value,
        _SUBSET.value,
        training,
        count=_EXCERPTS.value,
        seconds=_SECONDS.value,
    )
    if _PLOT.value:
        inventory.plot_excerpts(_PLOT.value, excerpts, rate_hz)
        print(_PLOT.value)
    if _LISTEN.value:
        for path in inventory.write_excerpts(_LISTEN.value, excerpts, rate_hz):
            print(path)


if __name__ == "__main__":
    app.run(main)
