r"""Makes a web page that separates songs in the browser, of any models.

    waveunet export-web --model vocals-small --output ~/site
    waveunet serve-web ~/site

OUTPUT is a folder of static files for any web host (docs/browser.md). Songs stay on the
listener's device. Needs npm, which fetches the page's libraries, once.
"""

import pathlib

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.export.kinds import CALIBRATED, KINDS
from waveunet_tf.export.web import site_folder

_MODEL = flags.DEFINE_list(
    "model",
    "vocals",
    "The models of the page's menu, comma separated: names, folders of checkpoints, or "
    ".tflite files that `waveunet export` wrote. The first is the default.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The folder to make.", required=True, short_name="o"
)
_KINDS = flags.DEFINE_list(
    "kinds",
    "dynamic,float32",
    "The files to export of each name and checkpoint, comma separated: dynamic (small "
    "and fast), float32 (exact), float16 (exact, half the download). The first is the "
    "default.",
)
_CHUNK_FRAMES = flags.DEFINE_integer(
    "chunk_frames",
    32768,
    "Frames of the mixture, at the network's rate, that a step takes: a multiple of "
    "2^num_levels. Fewer wait less in live mode, but cost more.",
    lower_bound=1,
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace a site that exists.")


def main(_):
    """Writes the site and prints its folder."""
    kinds = list(dict.fromkeys(_KINDS.value))
    known = [kind for kind in KINDS if kind not in CALIBRATED]
    if not kinds or not set(kinds) <= set(known):
        raise app.UsageError(
            f"--kinds must be of {', '.join(known)}. "
            f"Received: {', '.join(kinds) or 'none'}"
        )
    if not _MODEL.value:
        raise app.UsageError("--model must name at least one model")
    output = pathlib.Path(_OUTPUT.value)
    site_folder.require_site_place(output, overwrite=_OVERWRITE.value)
    with site_folder.replaced_folder(output) as folder:
        site_folder.write_site(folder, _MODEL.value, kinds, _CHUNK_FRAMES.value)
    print(output)


if __name__ == "__main__":
    app.run(main)
