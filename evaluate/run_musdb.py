r"""Scores a separator on a data set with museval (BSSEval v4, windows of 1 s).

    python -m evaluate.run_musdb --data_dir ~/musdb18 --checkpoint ~/m4/best \
        --output_dir ~/scores/m4

Scores one of: a checkpoint, which separates the mixtures; a folder of estimates,
<estimates_dir>/<subset>/<track>/<source>.wav; or the mixture as the estimate of every
source, the baseline. Writes OUTPUT_DIR/<subset>/<track>.json, museval's own format, and
prints the paper's statistics over all seconds of all tracks, in dB: median, median
absolute deviation, mean, standard deviation, and the median of the tracks' medians. NaN
counts the seconds in which a source or an estimate is silent, which have no score.
"""

import pathlib

import tqdm
from absl import flags

from evaluate import bss, summary
from waveunet_tf import audio, cli
from waveunet_tf.datasets import find_tracks
from waveunet_tf.errors import InputError
from waveunet_tf.tracks import SUBSETS

_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "MUSDB18 (*.stem.mp4), MUSDB18-HQ, or another folder of stems "
    "<subset>/<track>/<source>.wav.",
    required=True,
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The folder to write the scores in.", required=True
)
_SUBSET = flags.DEFINE_enum("subset", "test", SUBSETS, "Which tracks to score.")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Score this checkpoint: a folder of config.json and weights."
)
_ESTIMATES_DIR = flags.DEFINE_string(
    "estimates_dir", None, "Score the stems in this folder."
)
_ESTIMATES = flags.DEFINE_enum(
    "estimates", None, ["mixture"], "Score a baseline: the mixture as every source."
)
_SOURCES = flags.DEFINE_list(
    "sources",
    None,
    "Sources to score if there is no checkpoint to tell them, comma separated. "
    "Default: accompaniment,vocals.",
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace scores that exist.")
cli.define_refinement_flags()
flags.adopt_module_key_flags(cli)
flags.mark_flags_as_mutual_exclusive(
    ["checkpoint", "estimates_dir", "estimates"], required=True
)


def _estimator():
    """The sources to score, and a function (track, mixture, rate in Hz) → estimates."""
    sources = tuple(_SOURCES.value or ("accompaniment", "vocals"))
    if _CHECKPOINT.value is not None:
        if _SOURCES.value:
            raise cli.UsageError("--checkpoint has its own sources: no --sources")
        from waveunet_tf.separate import load

        separator = load(_CHECKPOINT.value, **cli.refinement_from_flags())
        return separator.config.sources, lambda _, mixture, rate_hz: separator.separate(
            mixture, rate_hz
        )
    if _ESTIMATES.value == "mixture":
        return sources, lambda _, mixture, __: dict.fromkeys(sources, mixture)

    def read(track, _, rate_hz):
        folder = pathlib.Path(_ESTIMATES_DIR.value) / track.subset / track.name
        estimates = {}
        for source in sources:
            path = folder / f"{source}.wav"
            estimates[source], came_hz = audio.read(path)
            if came_hz != rate_hz:
                raise InputError(
                    f"{path}: an estimate must have its target's rate, {rate_hz} Hz. "
                    f"Received: {came_hz} Hz"
                )
        return estimates

    return sources, read


def main(_):
    tracks = find_tracks(_DATA_DIR.value, subsets=(_SUBSET.value,))
    paths = [bss.scores_path(_OUTPUT_DIR.value, track) for track in tracks]
    existing = [path for path in paths if path.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(
            f"{existing[0]}: scores must be new, or --overwrite be given, but exist"
        )
    sources, estimate = _estimator()
    scored = []
    pairs = list(zip(tracks, paths))
    for track, path in tqdm.tqdm(pairs, desc="score", unit="track", disable=None):
        try:
            references, rate_hz = track.read(sources)
            mixture = references.pop("mixture")
            estimates = estimate(track, mixture, rate_hz)
            scores = bss.score_track(track.name, references, estimates, rate_hz)
        except (InputError, OSError) as error:
            cli.print_error(error)
        else:
            bss.write_scores(path, scores)
            scored.append(path)
    if scored:
        name = pathlib.Path(_OUTPUT_DIR.value).name
        print(summary.format_table({name: summary.summarize(scored)}))
    return 0 if len(scored) == len(tracks) else 1


if __name__ == "__main__":
    cli.run(main)
