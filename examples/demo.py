r"""A real song excerpt, separated and scored; then the whole way from training on.

    make demo                                    (or)
    python -m examples.demo --output_dir demo

First the model that the package carries separates a song that is new to it, six seconds
of a test song of MUSDB18 that the package stempeg has in it. Then a tiny network is
trained on these six seconds, scored on them and exported. Each step is one of the
project's commands, shown as it is run.
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
from waveunet_tf.audio import io
from waveunet_tf.checkpoints import registry
from waveunet_tf.commands import app
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "demo", "The folder to write; a demo in it is made anew."
)
_STEPS_PER_EPOCH = flags.DEFINE_integer(
    "steps_per_epoch",
    75,
    "Training steps, of 8 excerpts each, in each of the 4 epochs.",
    lower_bound=1,
)

MODEL, TINY = "model-in-the-box", "tiny-network"
# So much better than the mixture they have to be, the tiny one on what it has seen.
MIN_GAINS_DB = {MODEL: 5, TINY: 8}
_MARKER = ".made-by-demo"
_NETWORK = "--num_levels 8 --base_filters 12"
_TRAINING = "--batch_size 8 --learning_rate 1e-3"
_TFLITE = pathlib.Path("artefacts", "tflite_float32.tflite")


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


def new_demo_folder(path: pathlib.Path) -> pathlib.Path:
    """Empties the last demo's folder, or makes a new one; touches no other."""
    if path.exists() and not (path / _MARKER).exists():
        raise InputError(f"{path}: must be a new folder or one of an earlier demo")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    (path / _MARKER).touch()
    return path


def take_song(output: pathlib.Path) -> pathlib.Path:
    """Puts the song in MUSDB18's test part, where it belongs, and in a training part.

    Returns:
        The song in the test part.
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
    """Scores a system on the song; gives the command's seconds."""
    return run_command(
        f"evaluate.run_musdb --data_dir {{}} {estimates} --output_dir {{}}",
        output / "musdb18",
        *paths,
        output / "scores" / system,
    )


def show_model(output: pathlib.Path, song: pathlib.Path) -> dict[str, float]:
    """Separates and scores with the model in the box; gives each step's seconds."""
    stems = output / "stems" / MODEL
    return {
        "separate": run_command(
            "waveunet_tf separate --output_dir {} {}", stems / "test", song
        ),
        "score it": score_system(output, MODEL, "--estimates_dir {}", stems),
        "score the floor": score_system(output, "mixture", "--estimates mixture"),
        "score the ceiling": score_system(
            output, "oracle_irm", "--estimates oracle_irm"
        ),
    }


def show_training(output: pathlib.Path, song: pathlib.Path) -> dict[str, float]:
    """Trains, scores and exports a tiny network; gives each step's seconds."""
    stems = output / "stems" / TINY
    checkpoint = output / "training" / "best"
    return {
        "prepare": run_command(
            "waveunet_tf prepare --dataset musdb18 --source {} --output {} "
            "--sample_rate_hz 22050",
            output / "musdb18",
            output / "prepared",
        ),
        "train": run_command(
            f"waveunet_tf train --variant M4 {_NETWORK} {_TRAINING} "
            f"--steps_per_epoch {_STEPS_PER_EPOCH.value} --max_epochs 4 "
            "--data_dir {} --workdir {}",
            output / "prepared",
            output / "training",
        ),
        "separate": run_command(
            "waveunet_tf separate --checkpoint {} --output_dir {} {}",
            checkpoint,
            stems / "test",
            song,
        ),
        "score": score_system(output, TINY, "--estimates_dir {}", stems),
        "export": run_command(
            "export.run_export --checkpoint {} --output {} --formats tflite_float32",
            checkpoint,
            output / "artefacts",
        ),
    }


def main(_):
    registry.folder_of(registry.DEFAULT)  # else nothing is to be shown
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
    """Prints where everything lies."""
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
        told = ", ".join(f"{step} {duration:.1f} s" for step, duration in steps.items())
        print(f"{part}: {told}")
    print(f"{'the song':<20} {len(mixture)} frames, {sample_rate_hz} Hz")
    print(f"{'training loss':<20} {losses[0]:.2e} (first quarter) to {losses[-1]:.2e}")
    print(
        f"{'TFLite file':<20} {(output / _TFLITE).stat().st_size / 1e6:.2f} MB, "
        f"{factor:.3f} s of work for a second of audio on LiteRT"
    )


def judge(output: pathlib.Path) -> None:
    """Prints the scores, and what they say.

    Raises:
        InputError: a network separates too little.
    """
    systems = {
        name: summary.summarize(scores.read_system(output / "scores" / name))
        for name in (MODEL, "mixture", "oracle_irm", TINY)
    }
    print()
    print(tables.format_summaries({name: {"SDR": systems[name]} for name in systems}))
    print(
        f"\nThe song is new to {MODEL}, but six seconds of one song tell little.\n"
        f"{TINY} has seen nothing but these, on which it is scored: it shows that\n"
        "the way works, not how well it separates other music. mixture is the song as\n"
        "every estimate, oracle_irm the ideal ratio mask, which knows the true stems."
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
