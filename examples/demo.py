r"""Separates and scores a real song excerpt, then trains, scores and exports.

    make demo                                    (or)
    python -m examples.demo --output_dir demo

First the model in the package separates a song that is new to it: six seconds of a test
song of MUSDB18, which the package stempeg carries. Then a tiny network is trained on
these six seconds, scored on them and exported. Each step is one of the project's
commands, which is printed before it runs.
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

from waveunet_tf.audio import io
from waveunet_tf.checkpoints import registry
from waveunet_tf.commands import app
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import scores, summary, tables

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "demo", "The folder to write; an earlier demo in it is replaced."
)
_STEPS_PER_EPOCH = flags.DEFINE_integer(
    "steps_per_epoch",
    75,
    "Training steps, of 8 excerpts each, in each of the 4 epochs.",
    lower_bound=1,
)

MODEL, TINY = "model-in-the-box", "tiny-network"
# The least gain over the mixture; the tiny network is scored on what it was trained on.
MIN_GAINS_DB = {MODEL: 5, TINY: 8}
_MARKER = ".made-by-demo"
_NETWORK = "--num_levels 8 --base_filters 12"
_TRAINING = "--batch_size 8 --learning_rate 1e-3"
_TFLITE = pathlib.Path("artefacts", "tflite_float32.tflite")


def run_command(command: str, *paths: pathlib.Path) -> float:
    """Prints and runs `waveunet <command>`; returns its seconds.

    Args:
        command: The command, with {} for each path.
        *paths: The paths.

    Raises:
        InputError: The command failed.
    """
    shown = command.format(*(shlex.quote(str(path)) for path in paths))
    print(f"\n$ waveunet {shown}", flush=True)
    started = time.monotonic()
    try:
        words = shlex.split(shown)
        subprocess.run([sys.executable, "-m", "waveunet_tf", *words], check=True)
    except subprocess.CalledProcessError as error:
        raise InputError(f"the command above ended with {error.returncode}") from error
    return time.monotonic() - started


def new_demo_folder(path: pathlib.Path) -> pathlib.Path:
    """Empties the folder of an earlier demo, or makes a new one.

    Raises:
        InputError: The folder exists and is not an earlier demo's.
    """
    if path.exists() and not (path / _MARKER).exists():
        raise InputError(f"{path}: must be a new folder or one of an earlier demo")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    (path / _MARKER).touch()
    return path


def take_song(output: pathlib.Path) -> pathlib.Path:
    """Copies the song into MUSDB18's test part, where it belongs, and a training part.

    Returns:
        The path of the song in the test part.
    """
    example = pathlib.Path(import_sigsep("stempeg").example_stem_path())
    for subset in ("train", "test"):
        song = output / "musdb18" / subset / example.name
        song.parent.mkdir(parents=True)
        shutil.copyfile(example, song)
    print(f"The song: {song.name}, 5 streams: mixture, drums, bass, other, vocals")
    print("It is one of MUSDB18's test songs: the model in the box has not seen it.")
    return song


def score_system(output: pathlib.Path, system: str, estimates: str, *paths) -> float:
    """Scores a system on the song; returns the command's seconds."""
    return run_command(
        f"score --data_dir {{}} {estimates} --output_dir {{}}",
        output / "musdb18",
        *paths,
        output / "scores" / system,
    )


def show_model(output: pathlib.Path, song: pathlib.Path) -> dict[str, float]:
    """Separates and scores with the model in the box; returns each step's seconds."""
    stems = output / "stems" / MODEL
    return {
        "separate": run_command("separate --output_dir {} {}", stems / "test", song),
        "score it": score_system(output, MODEL, "--estimates_dir {}", stems),
        "score the floor": score_system(output, "mixture", "--estimates mixture"),
        "score the ceiling": score_system(
            output, "oracle_irm", "--estimates oracle_irm"
        ),
    }


def show_training(output: pathlib.Path, song: pathlib.Path) -> dict[str, float]:
    """Trains, scores and exports a tiny network; returns each step's seconds."""
    stems = output / "stems" / TINY
    checkpoint = output / "training" / "best"
    return {
        "prepare": run_command(
            "prepare --dataset musdb18 --source {} --output {} --sample_rate_hz 22050",
            output / "musdb18",
            output / "prepared",
        ),
        "train": run_command(
            f"train --variant M4 {_NETWORK} {_TRAINING} "
            f"--steps_per_epoch {_STEPS_PER_EPOCH.value} --max_epochs 4 "
            "--data_dir {} --workdir {}",
            output / "prepared",
            output / "training",
        ),
        "separate": run_command(
            "separate --checkpoint {} --output_dir {} {}",
            checkpoint,
            stems / "test",
            song,
        ),
        "score": score_system(output, TINY, "--estimates_dir {}", stems),
        "export": run_command(
            "export --checkpoint {} --output {} --formats tflite_float32",
            checkpoint,
            output / "artefacts",
        ),
    }


def main(_):
    """Runs both parts, and prints the figures."""
    registry.folder_of(registry.DEFAULT)  # without the model there is no demo
    output = new_demo_folder(pathlib.Path(_OUTPUT_DIR.value))
    song = take_song(output)
    print("\n-- 1. The model in the box, on a song that is new to it")
    seconds = {"the model in the box": show_model(output, song)}
    print("\n-- 2. Training and export in small: a tiny network on the same seconds")
    seconds["the tiny network"] = show_training(output, song)
    print_places(output)
    print_measures(output, song, seconds)
    judge(output)


def print_places(output: pathlib.Path) -> None:
    """Prints the path of each result."""
    print("\n-- Where everything lies")
    for label, path in {
        "prepared stems": output / "prepared",
        "checkpoint": output / "training" / "best",
        "loss of each epoch": output / "training" / "history.jsonl",
        "museval's scores": output / "scores",
        "TFLite file": output / _TFLITE,
    }.items():
        print(f"{label:<20} {path}")
    for path in sorted((output / "stems").rglob("*.wav")):
        info = soundfile.info(path)
        print(f"stem of {info.frames} frames, {info.samplerate} Hz: {path}")


def print_measures(output: pathlib.Path, song: pathlib.Path, seconds: dict) -> None:
    """Prints times, losses and the cost of the TFLite file."""
    from waveunet_tf.separation.separator import load_tflite_separator

    history = (output / "training" / "history.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in history]
    mixture, sample_rate_hz = io.read(song)
    separator = load_tflite_separator(output / _TFLITE)
    started = time.monotonic()
    separator.separate(mixture, sample_rate_hz)
    factor = (time.monotonic() - started) / (len(mixture) / sample_rate_hz)

    print("\n-- What was measured")
    for part, steps in seconds.items():
        text = ", ".join(f"{step} {duration:.1f} s" for step, duration in steps.items())
        print(f"{part}: {text}")
    print(f"{'the song':<20} {len(mixture)} frames, {sample_rate_hz} Hz")
    print(f"{'training loss':<20} {losses[0]:.2e} (first quarter) to {losses[-1]:.2e}")
    print(
        f"{'TFLite file':<20} {(output / _TFLITE).stat().st_size / 1e6:.2f} MB, "
        f"{factor:.3f} s of work for a second of audio on LiteRT"
    )


def judge(output: pathlib.Path) -> None:
    """Prints the scores and the gains over the mixture.

    Raises:
        InputError: A network gains too little.
    """
    systems = {
        name: summary.summarize(scores.read_system(output / "scores" / name))
        for name in (MODEL, "mixture", "oracle_irm", TINY)
    }
    print()
    print(tables.format_summaries({name: {"SDR": systems[name]} for name in systems}))
    print(
        f"\nThe song is new to {MODEL}, but six seconds of one song say little.\n"
        f"{TINY} was trained and is scored on these seconds only: it shows that the\n"
        "steps work, not how well it separates other music. mixture takes the song as\n"
        "each estimate; oracle_irm is the ideal ratio mask, which knows the true stems."
    )
    medians = {name: own["vocals"].median for name, own in systems.items()}
    gains = {name: medians[name] - medians["mixture"] for name in MIN_GAINS_DB}
    for name, gain_db in gains.items():
        left_db = medians["oracle_irm"] - medians[name]
        print(
            f"vocals, {name}: median SDR {medians[name]:.1f} dB, {gain_db:.1f} dB over "
            f"the mixture, {left_db:.1f} dB below the ideal mask"
        )
    for name, least_db in MIN_GAINS_DB.items():
        if gains[name] < least_db:
            raise InputError(
                f"{name}: the vocals must gain at least {least_db} dB. "
                f"Received: {gains[name]:.1f} dB"
            )


if __name__ == "__main__":
    app.run(main)
