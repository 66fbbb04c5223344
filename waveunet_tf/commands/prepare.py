r"""Prepares a data set for training: stems at the model's rate, one folder a track.

    waveunet prepare --dataset musdb18 --source ~/musdb18 \
        --output ~/prepared --sample_rate_hz 22050
    waveunet prepare --verify --output ~/prepared
    waveunet prepare … --runner DirectRunner -- --direct_num_workers=4

Writes OUTPUT/<train|valid|test>/<track>/<source>.wav, mixture.wav and manifest.json.
After a stop, the same command goes on.
"""

from __future__ import annotations

import os
import pathlib

from absl import flags

from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.commands import app
from waveunet_tf.data import manifest, preparation
from waveunet_tf.data.datasets import DATASETS, find_tracks
from waveunet_tf.data.tracks import SUBSETS, Mending, Track
from waveunet_tf.errors import InputError
from waveunet_tf.system import cpus, dask_cluster

_DATASET = flags.DEFINE_enum(
    "dataset",
    None,
    list(DATASETS),
    "; ".join(f"{name}: <source>/{known.layout}" for name, known in DATASETS.items())
    + ".",
)
_SOURCE = flags.DEFINE_string("source", None, "The data set's folder.")
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The folder to write: new, empty, or of an earlier run, which then goes on.",
    required=True,
    short_name="o",
)
_SAMPLE_RATE_HZ = flags.DEFINE_integer(
    "sample_rate_hz", 22050, "Sample rate of the written files, in Hz.", lower_bound=1
)
_BIT_DEPTH = flags.DEFINE_enum(
    "bit_depth",
    "16",
    ["16", "24", "32f"],
    "Bits a sample: 16 with dither, 24, or 32f, float, which is never clipped.",
)
_SOURCES = flags.DEFINE_list(
    "sources",
    "accompaniment,vocals",
    "Names of the sources to write, comma separated. accompaniment is the sum of all "
    "stems but the vocals where no stem has that name.",
)
_MERGE = flags.DEFINE_multi_string(
    "merge",
    [],
    "A source (of --sources) that is a sum of stems, such as rhythm=drums+bass. May be "
    "given several times.",
)
_VALIDATION = flags.DEFINE_string(
    "validation",
    None,
    "The training tracks that become the subset valid. paper: 25 of MUSDB18's 100, as "
    "the original draws them; musdb: musdb's official 14; fraction:0.1: a tenth, by a "
    "hash of the names; none; or a file with a name in each line. Tracks in a folder "
    "valid are then like those in train. Default: musdb for MUSDB18; for others, the "
    "tracks in a folder valid.",
)
_SPEED = flags.DEFINE_float(
    "speed",
    1.0,
    "Make the training tracks faster and higher by this factor, as on a tape, and "
    "prepare no others. Train with such a folder beside the one of speed 1 where there "
    "is little data.",
    lower_bound=0.5,
    upper_bound=2.0,
)
_MISSING_IS_SILENCE = flags.DEFINE_boolean(
    "missing_is_silence", False, "Use silence for a stem that a track lacks."
)
_PAD_SHORT_STEMS = flags.DEFINE_boolean(
    "pad_short_stems", False, "Let stems shorter than the longest go on with silence."
)
_MONO_TO_STEREO = flags.DEFINE_boolean(
    "mono_to_stereo", False, "Give mono stems two equal channels."
)
_REST = flags.DEFINE_string(
    "rest",
    None,
    "A source (of --sources), such as accompaniment. Where a track has no stem of this "
    "name, it is the file mixture less all other sources.",
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    cpus.cores(),
    "Number of tracks prepared at a time, here or with --scheduler local.",
    lower_bound=1,
    short_name="j",
)
_RUNNER = flags.DEFINE_string(
    "runner",
    None,
    "Prepare on this pipeline runner of Apache Beam (DirectRunner, DataflowRunner, "
    "FlinkRunner, SparkRunner, DaskRunner), whose own options follow after --. Needs "
    "requirements-beam.txt, and folders that all its workers see. Default: processes "
    "here (--workers).",
)
_SCHEDULER = flags.DEFINE_string(
    "scheduler",
    None,
    "Prepare on the workers of this scheduler of dask.distributed, such as "
    f"tcp://host:8786, or {dask_cluster.LOCAL}. Needs requirements-dask.txt, and "
    "folders that all workers see.",
)
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run",
    False,
    "Print what would be prepared, by the files' headers, and write nothing.",
)
_VERIFY = flags.DEFINE_boolean(
    "verify", False, "Check OUTPUT against its manifest instead of preparing it."
)
flags.mark_flags_as_mutual_exclusive(["runner", "scheduler"])


def parse_merges() -> dict[str, tuple[str, ...]]:
    """Parses the sums of --merge: source → stems.

    Raises:
        UsageError: A sum is not of the form name=stem+stem, or a source or one of its
            stems is there twice.
    """
    merges = {}
    for text in _MERGE.value:
        name, equals, parts = text.partition("=")
        name, stems = name.strip(), tuple(part.strip() for part in parts.split("+"))
        if not (name and equals and all(stems)):
            raise app.UsageError(f"--merge must be as name=stem+stem. Received: {text}")
        if name in merges or len(set(stems)) < len(stems):
            raise app.UsageError(
                "--merge must have each source once, as a sum of different stems. "
                f"Received: {text}"
            )
        merges[name] = stems
    return merges


def print_plan(tracks: list[Track], settings: manifest.Settings) -> int:
    """Prints what would be prepared; returns the exit code."""
    output = pathlib.Path(_OUTPUT.value)
    done = manifest.entries_of_earlier_run(output, settings, tracks)
    seconds, failed = 0.0, 0
    for track in tracks:
        if track.label in done:
            print(f"{track.label}: is prepared already")
            continue
        try:
            with track.open(settings.sources, settings.mending) as reader:
                rate_hz, length = reader.sample_rate_hz, reader.duration_seconds
                rest = f"; {reader.rest} from the mixture" if reader.rest else ""
        except (InputError, OSError) as error:
            failed += 1
            app.print_error(error)
            continue
        seconds += length / _SPEED.value
        print(f"{track.label}: {length:.1f} s at {rate_hz} Hz{rest}")
    print(f"{_duration(seconds)} to prepare at {settings.sample_rate_hz} Hz")
    return 1 if failed else 0


def _duration(seconds: float) -> str:
    """Tells a time in the largest unit of which it has one or more."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def print_problems() -> int:
    """Checks the output against its manifest; returns the exit code."""
    problems = manifest.verify(_OUTPUT.value)
    for problem in problems:
        app.print_error(InputError(problem))
    print(f"{_OUTPUT.value}: {len(problems)} problems")
    return 1 if problems else 0


def settings_from_flags(validation: str | None) -> manifest.Settings:
    """Builds the settings from the flags.

    Raises:
        InputError: The flags contradict each other.
        UsageError: A sum of --merge is not of the form name=stem+stem.
    """
    return manifest.Settings(
        sample_rate_hz=_SAMPLE_RATE_HZ.value,
        sources=tuple(_SOURCES.value),
        bit_depth=int(_BIT_DEPTH.value.rstrip("f")),
        validation=validation,
        speed=_SPEED.value,
        mending=Mending(
            merges=parse_merges(),
            missing_is_silence=_MISSING_IS_SILENCE.value,
            pad_short_stems=_PAD_SHORT_STEMS.value,
            mono_to_stereo=_MONO_TO_STEREO.value,
            rest=_REST.value,
        ),
    )


def main(beam_options):
    """Prepares, plans or verifies as the flags say; returns the exit code."""
    if beam_options and not _RUNNER.value:
        raise app.UsageError(
            f"takes no arguments but a --runner's. Received: {' '.join(beam_options)}"
        )
    if _VERIFY.value:
        return print_problems()
    if _DATASET.value is None or _SOURCE.value is None:
        raise app.UsageError("needs --dataset and --source, or --verify")
    validation = _VALIDATION.value or DATASETS[_DATASET.value].validation
    try:
        settings = settings_from_flags(validation)
    except InputError as error:
        raise app.UsageError(str(error)) from error
    source = _SOURCE.value
    if _SCHEDULER.value or _RUNNER.value:  # Its workers may run in other folders.
        source = os.path.abspath(source)
    tracks = find_tracks(
        source,
        dataset=_DATASET.value,
        subsets=SUBSETS if _SPEED.value == 1 else ("train",),
        validation=validation,
    )
    if _DRY_RUN.value:
        with decoding_apart():
            return print_plan(tracks, settings)
    failures = preparation.prepare_tracks(
        tracks,
        _OUTPUT.value,
        settings,
        workers=_WORKERS.value,
        scheduler=_SCHEDULER.value,
        pipeline_runner=_RUNNER.value,
        pipeline_options=beam_options,
    )
    print(f"{len(tracks) - len(failures)} of {len(tracks)} tracks in {_OUTPUT.value}")
    for failure in failures:
        app.print_error(InputError(failure))
    return 1 if failures else 0


if __name__ == "__main__":
    app.run(main, arguments="Beam's options", may_be_none=True)
