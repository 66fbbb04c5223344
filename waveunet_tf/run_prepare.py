r"""Prepares a data set for training: stems at the model's rate, one folder a track.

    python -m waveunet_tf.run_prepare --dataset musdb18 --source ~/musdb18 \
        --output ~/prepared --sample_rate_hz 22050

Writes OUTPUT/<train|valid|test>/<track>/<source>.wav, mixture.wav and manifest.json.
MUSDB18's official 14 validation tracks become the subset valid.
"""

from absl import flags

from waveunet_tf import cli
from waveunet_tf.errors import InputError
from waveunet_tf.tracks import DATASETS, find_tracks

_DATASET = flags.DEFINE_enum(
    "dataset",
    None,
    DATASETS,
    "musdb18: <source>/<train|test>/*.stem.mp4; folder: stems as "
    "<source>/<train|valid|test>/<track>/<name>.<wav, flac, mp3, ...>, or without "
    "subsets as <source>/<track>/<name>.<...>, which all become train.",
    required=True,
)
_SOURCE = flags.DEFINE_string("source", None, "The data set's folder.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The folder to write: new, empty, or of an earlier run, which then goes on.",
    required=True,
)
_SAMPLE_RATE_HZ = flags.DEFINE_integer(
    "sample_rate_hz", 22050, "Sample rate of the written files, in Hz.", lower_bound=1
)
_SOURCES = flags.DEFINE_list(
    "sources",
    "accompaniment,vocals",
    "Names of the sources to write, comma separated. accompaniment is the sum of all "
    "stems but the vocals where no stem has that name.",
)


def main(_):
    from waveunet_tf.prepare import prepare

    if not all(_SOURCES.value) or not _SOURCES.value:
        raise cli.UsageError("--sources must be at least one name")
    tracks = find_tracks(_SOURCE.value, dataset=_DATASET.value)
    failures = prepare(
        tracks,
        _OUTPUT.value,
        sample_rate_hz=_SAMPLE_RATE_HZ.value,
        sources=tuple(_SOURCES.value),
    )
    print(f"{len(tracks) - len(failures)} of {len(tracks)} tracks in {_OUTPUT.value}")
    for failure in failures:
        cli.print_error(InputError(failure))
    return 1 if failures else 0


if __name__ == "__main__":
    cli.run(main)
