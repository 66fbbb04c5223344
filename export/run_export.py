r"""Exports a checkpoint for phones.

    python -m export.run_export --checkpoint ~/m4/best --output ~/artefacts \
        --formats tflite_float32

Writes OUTPUT/<format>.tflite, after running it on LiteRT beside the network.
"""

import pathlib

from absl import flags, logging

from waveunet_tf import cli, files
from waveunet_tf.errors import InputError

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The folder of config.json and weights.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
_FORMATS = flags.DEFINE_list(
    "formats",
    None,
    "What to write, comma separated. tflite_float32: one window of the network, in "
    "float32.",
    required=True,
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace files that exist.")

# Rounding of float32 sums in another order, at outputs between -1 and 1.
_MAX_DIFFERENCE = 1e-5


def export_tflite_float32(path: pathlib.Path) -> None:
    """Writes the file if it equals the network, and prints its size and difference."""
    from export import parity, tflite

    content = tflite.convert_float32(_CHECKPOINT.value)
    with files.atomic_file(path) as part:
        part.write_bytes(content)
        difference = parity.window_difference(_CHECKPOINT.value, part)
        if not difference <= _MAX_DIFFERENCE:
            raise InputError(
                f"{path}: must differ from the network by at most {_MAX_DIFFERENCE}, "
                f"but differs by {difference}; not written"
            )
    print(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB, largest difference from the "
        f"network {difference:.1e}"
    )


FORMATS = {"tflite_float32": (".tflite", export_tflite_float32)}


def main(_):
    names = _FORMATS.value
    if not names or not set(names) <= set(FORMATS):
        raise cli.UsageError(
            f"--formats must be of {', '.join(FORMATS)}. "
            f"Received: {', '.join(names) or 'none'}"
        )
    logging.set_verbosity(logging.WARNING)  # the converter tells of its every step
    folder = pathlib.Path(_OUTPUT.value)
    paths = {name: folder / f"{name}{FORMATS[name][0]}" for name in names}
    existing = [path for path in paths.values() if path.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(f"{existing[0]}: must be a new file, or --overwrite be given")
    for name, path in paths.items():
        FORMATS[name][1](path)


if __name__ == "__main__":
    cli.run(main)
