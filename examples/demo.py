r"""The whole way on a real song excerpt: prepare, train, separate, score, export.

    make demo                                    (or)
    python -m examples.demo --output_dir demo

The six seconds of music are those that the package stempeg carries, of MUSDB18. Each
step is one of the project's commands, shown as it is run.
"""

import json
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

import soundfile
from absl import flags

from evaluate import scores, summary, tables
from waveunet_tf import audio, cli
from waveunet_tf.errors import InputError
from waveunet_tf.sigsep import import_sigsep

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "demo", "The folder to write; a demo in it is made anew."
)
_STEPS_PER_EPOCH = flags.DEFINE_integer(
    "steps_per_epoch",
    100,
    "Training steps, of 8 excerpts each, in each of the 4 epochs.",
    lower_bound=1,
)

# So much better than the mixture it has to be on what it has seen.
MIN_GAIN_DB = 8
_MARKER = ".made-by-demo"
_NETWORK = "--num_levels 8 --base_filters 12"
_TRAINING = "--batch_size 8 --learning_rate 1e-3"


def run_command(command: str, *paths: pathlib.Path) -> float:
    """Shows and runs `python -m <command>`; gives its seconds.

    Args:
        command: the command, with {} for each path.
        paths: the paths.
    """
    shown = command.format(*(shlex.quote(str(path)) for path in paths))
    print(f"\n$ python -m {shown}", flush=True)
    started = time.monotonic()
    try:
        subprocess.run([sys.executable, "-m", *shlex.split(shown)], check=True)
    except subprocess.CalledProcessError as error:
        raise InputError(f"the command above left with {error.returncode}") from error
    return time.monotonic() - started


def new_folder(path: pathlib.Path) -> pathlib.Path:
    """Empties the last demo's folder, or makes a new one; touches no other."""
    if path.exists() and not (path / _MARKER).exists():
        raise InputError(f"{path}: must be a new folder or one of an earlier demo")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    (path / _MARKER).touch()
    return path


def main(_):
    output = new_folder(pathlib.Path(_OUTPUT_DIR.value))
    example = pathlib.Path(import_sigsep("stempeg").example_stem_path())
    song = output / "musdb18" / "train" / example.name
    song.parent.mkdir(parents=True)
    shutil.copyfile(example, song)
    print(f"The song: {song.name}, 5 streams: mixture, drums, bass, other, vocals")

    seconds = {}
    seconds["prepare"] = run_command(
        "waveunet_tf.run_prepare --dataset musdb18 --source {} --output {} "
        "--sample_rate_hz 22050",
        output / "musdb18",
        output / "prepared",
    )
    seconds["train"] = run_command(
        f"waveunet_tf.run_train --variant M4 {_NETWORK} {_TRAINING} "
        f"--steps_per_epoch {_STEPS_PER_EPOCH.value} --max_epochs 4 "
        "--data_dir {} --workdir {}",
        output / "prepared",
        output / "training",
    )
    checkpoint = output / "training" / "best"
    seconds["separate"] = run_command(
        "waveunet_tf.run_separate --checkpoint {} --output_dir {} {}",
        checkpoint,
        output / "stems" / "train",
        song,
    )
    seconds["score"] = run_command(
        "evaluate.run_musdb --data_dir {} --subset train --estimates_dir {} "
        "--output_dir {}",
        output / "musdb18",
        output / "stems",
        output / "scores" / "wave-u-net",
    )
    seconds["baseline"] = run_command(
        "evaluate.run_musdb --data_dir {} --subset train --estimates mixture "
        "--output_dir {}",
        output / "musdb18",
        output / "scores" / "mixture",
    )
    seconds["export"] = run_command(
        "export.run_export --checkpoint {} --output {} --formats tflite_float32",
        checkpoint,
        output / "artefacts",
    )
    report(output, song, seconds)


def report(output: pathlib.Path, song: pathlib.Path, seconds: dict) -> None:
    """Prints where everything lies and what was measured.

    Raises:
        InputError: it did not learn.
    """
    from waveunet_tf.separate import load_tflite

    history = (output / "training" / "history.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in history]
    stems = sorted((output / "stems").rglob("*.wav"))
    mixture, sample_rate_hz = audio.read(song)
    tflite = output / "artefacts" / "tflite_float32.tflite"
    separator = load_tflite(tflite)
    started = time.monotonic()
    separator.separate(mixture, sample_rate_hz)
    factor = (time.monotonic() - started) / (len(mixture) / sample_rate_hz)

    systems = {
        name: summary.summarize(scores.read_system(output / "scores" / name))
        for name in ("mixture", "wave-u-net")
    }
    gain_db = (
        systems["wave-u-net"]["vocals"].median - systems["mixture"]["vocals"].median
    )

    print("\n-- Where everything lies")
    for label, path in {
        "prepared stems": output / "prepared",
        "checkpoint": output / "training" / "best",
        "loss of each epoch": output / "training" / "history.jsonl",
        **{f"stem {path.stem}": path for path in stems},
        "museval's scores": output / "scores",
        "TFLite file": tflite,
    }.items():
        print(f"{label:<20} {path}")
    print("\n-- What was measured")
    for step, duration in seconds.items():
        print(f"{step:<20} {duration:6.1f} s")
    print(f"{'training loss':<20} {losses[0]:.2e} (first quarter) to {losses[-1]:.2e}")
    print(f"{'the song':<20} {len(mixture)} frames, {sample_rate_hz} Hz")
    for path in stems:
        info = soundfile.info(path)
        print(f"{path.name:<20} {info.frames} frames, {info.samplerate} Hz")
    print(
        f"{'TFLite file':<20} {tflite.stat().st_size / 1e6:.2f} MB, "
        f"{factor:.3f} s of work for a second of audio on LiteRT"
    )
    print()
    print(tables.format_summaries({name: {"SDR": systems[name]} for name in systems}))
    print(
        f"\nThe network has seen nothing but this excerpt, which it is scored on: it "
        f"shows\nthat the way works, not how well it separates music that is new to it."
        f"\nvocals: median SDR {gain_db:+.1f} dB over the mixture as the estimate"
    )
    if gain_db < MIN_GAIN_DB:
        raise InputError(f"the vocals must gain at least {MIN_GAIN_DB} dB, but did not")


if __name__ == "__main__":
    cli.run(main)
