"""Kills long commands at random moments, runs them again, and compares.

    python -m tests.fuzz.kills [--kills=20] [--interrupts=5] [--seed=1] [COMMAND …]

After a kill no file may have its final name and lack some of its bytes. After the
second run all bytes must be those of a run that was never killed, and nothing else may
be left, neither in the output nor among temporary files. Prints a table in Markdown,
and exits with 1 where something differs.
"""

import argparse
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import soundfile

from waveunet_tf.configs.networks import WaveUNetConfig

CONFIG = WaveUNetConfig(
    num_levels=3, base_filters=4, sample_rate_hz=8000, output_frames=256
)
# Command → its line, which is also the one after a kill.
LINES = {
    "prepare": "prepare --dataset folder --source tracks --output out --workers 2",
    "train": "train --data_dir data --workdir out --num_levels 3 --base_filters 4 "
    "--sample_rate_hz 8000 --output_frames 256 --batch_size 2 --steps_per_epoch 4 "
    "--max_epochs 3 --nofine_tuning --save_seconds 0",
    # Of one engine: by default the machine's load decides which one is faster.
    "separate": "separate songs --checkpoint net --engine litert --output_dir out "
    "--skip_existing",
    "score": "score --data_dir data --subset test --estimates mixture --output_dir out",
    "export": "export --checkpoint net --formats tflite_float32,tflite_dynamic "
    "--chunk_frames 512 --output out --overwrite",
}
# What a run measures of itself, or names with its time, differs from run to run.
_MEASURED = re.compile(r'"(seconds|epoch_seconds)": [0-9.e-]+')
_IGNORED = re.compile(r"tensorboard/|parity\.(md|json)$|loss\.png$|/progress\.json$")
# What is written line by line, or grows with each track.
_GROWS = re.compile(r"history\.jsonl$|manifest\.json$|^state/|^best/")


def make_inputs(folder):
    """Writes tracks, prepared data and a checkpoint; TensorFlow is imported here."""
    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.networks.build import build_network

    generator = np.random.default_rng(1)
    for place, rate_hz in ((folder / "tracks", 16000), (folder / "data", 8000)):
        for subset in ("train", "valid", "test"):
            for name in ("one", "two"):
                track = place / subset / f"{name} {subset}"  # no two have one name
                track.mkdir(parents=True)
                for stem in ("vocals", "accompaniment"):
                    noise = generator.uniform(-0.3, 0.3, (3 * rate_hz, 2))
                    soundfile.write(track / f"{stem}.wav", noise, rate_hz)
    (folder / "songs").mkdir()
    for name in ("one", "two", "three"):
        noise = generator.uniform(-0.3, 0.3, (20 * 16000, 2))
        soundfile.write(folder / "songs" / f"{name}.wav", noise, 16000)
    checkpoint.save_checkpoint(folder / "net", build_network(CONFIG), CONFIG)


def start(line, folder):
    """Starts a command in a folder, with temporary files and caches of its own."""
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "TMPDIR": str(folder / "tmp"),
        "WAVEUNET_TF_CACHE": str(folder / "cache"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "waveunet_tf", *line],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def contents(folder):
    """File → bytes, without what a run measures of itself."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not _IGNORED.search(name):
            found[name] = path.read_bytes()
            if path.suffix in (".json", ".jsonl"):
                text = found[name].decode(errors="surrogateescape")
                found[name] = _MEASURED.sub("", text).encode(errors="surrogateescape")
    return found


def differences(wanted, came, what):
    """Lines that say how two folders differ."""
    lines = [f"{what}: {name} is missing" for name in wanted if name not in came]
    for name, content in came.items():
        if name not in wanted:
            lines.append(f"{what}: {name} is left over")
        elif content != wanted[name]:
            lines.append(f"{what}: {name} differs")
    return lines


def try_kill(command, number, inputs, wanted, seconds):
    """Kills one run after some seconds, and runs it again; returns what is wrong."""
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        for path in inputs.iterdir():
            (folder / path.name).symlink_to(path)
        words = LINES[command].split()
        child = start(words, folder)
        time.sleep(seconds)
        was_running = child.poll() is None
        child.send_signal(number)
        code = child.wait(timeout=60)
        problems = []
        # Python itself ends by the signal before and after the command's own work; if
        # that is in its own start, it says where it was.
        told = "Traceback" in (folder / "log").read_text(errors="replace")
        if (told and code > 0) or (was_running and code not in (0, 130, -number)):
            problems.append(f"the kill ended with {code}")
        time.sleep(0.3)  # for workers to see that they are alone
        for name, content in contents(folder / "out").items():
            is_part = any(part.startswith(".part-") for part in name.split("/"))
            if is_part and number == signal.SIGINT:
                problems.append(f"after Ctrl-C: {name} is left over")
            if is_part or _GROWS.search(name):
                continue
            if content != wanted.get(name):
                problems.append(f"after the kill: {name} is half-written")
        code = start(words, folder).wait(timeout=300)
        if code:
            problems.append(f"the second run ended with {code}")
        problems += differences(
            wanted, contents(folder / "out"), "after the second run"
        )
        left = [path.name for path in (folder / "tmp").iterdir()]
        if number == signal.SIGINT and left:
            problems.append(f"temporary files are left over: {', '.join(left)}")
        if problems:
            log = (folder / "log").read_text(errors="replace")[-2000:]
            print(f"{command} at {seconds:.2f} s: {problems}\n{log}", file=sys.stderr)
        return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", default=list(LINES), metavar="COMMAND")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--interrupts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    dice, is_right = random.Random(arguments.seed), True
    rows = [
        "| command | a whole run | kill -9 | same after it | Ctrl-C | same after it |"
    ]
    rows.append("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as text:
        inputs, whole = pathlib.Path(text) / "inputs", pathlib.Path(text) / "whole"
        inputs.mkdir()
        make_inputs(inputs)
        for command in arguments.commands:
            shutil.rmtree(whole, ignore_errors=True)
            whole.mkdir()
            for path in inputs.iterdir():
                (whole / path.name).symlink_to(path)
            began = time.time()
            if start(LINES[command].split(), whole).wait():
                print((whole / "log").read_text(), file=sys.stderr)
                return 1
            seconds = time.time() - began
            wanted, cells = contents(whole / "out"), []
            kinds = {
                signal.SIGKILL: arguments.kills,
                signal.SIGINT: arguments.interrupts,
            }
            for number, count in kinds.items():
                same = 0
                for _ in range(count):
                    moment = dice.uniform(0, seconds)
                    same += not try_kill(command, number, inputs, wanted, moment)
                is_right &= same == count
                cells += [str(count), str(same)]
            rows.append(f"| {command} | {seconds:.1f} s | {' | '.join(cells)} |")
            print(rows[-1], file=sys.stderr, flush=True)
    print("\n".join(rows))
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
