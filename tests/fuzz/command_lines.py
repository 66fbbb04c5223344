"""Target: flags and arguments of all commands, most of them wrong.

A command runs in this process. Flags that start servers, emulators or minutes of work
are left out, and networks are tiny.
"""

import functools
import json
import os
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import soundfile
from hypothesis import strategies as st

from tests.command_line import run_here
from tests.fuzz import guard, records
from waveunet_tf.__main__ import COMMANDS
from waveunet_tf.errors import InputError

SLICE = 6
# They serve, train, emulate or ask Docker: what they do with good flags takes minutes.
_LEFT_OUT = ("stand-in", "arm64", "serve-web")
_NAMES = ["song.wav", "text.txt", "folder", "missing", "", ".", "-", "é\udce9", "a b"]
_TEXTS = [
    "",
    "0",
    "-1",
    "1",
    "2",
    "1e9",
    "nan",
    "inf",
    "0x10",
    "None",
    "true",
    "vocals",
]
_TEXTS += ["vocals,vocals", ",", "a=b", "[1]", "*", "{stem}", "{x}", "M4", "U7", "wav"]
_TEXTS += ["9" * 30, "x" * 300, "localhost:1", "127.0.0.1:0", "%s", "1,2", "--help"]
# Lines that work, for flags to be added to.
_BASES = """
    separate song.wav --output_dir=out --engine=litert
    describe --variant=M4 --num_levels=3 --base_filters=2
    prepare --dataset=folder --source=tracks --output=out
    prepare --verify --output=out
    models
    statistics a=scores
    plots a=scores --output_dir=out
    report a=scores --output_dir=out
    train --data_dir=out --workdir=work
    describe-file text.txt
    client song.wav --server=127.0.0.1:1 --output_dir=out
"""


@functools.cache
def seeds():
    """Command → the names of its flags."""
    found = {}
    for name in COMMANDS:
        if name in _LEFT_OUT:
            continue
        shown = run_here("waveunet_tf", name, "--help").stdout
        found[name] = re.findall(r"^\s+--(?:\[no\])?([a-z_0-9]+)", shown, re.MULTILINE)
    return found


@st.composite
def cases(draw):
    words = [draw(st.sampled_from(sorted(seeds())))]
    if draw(st.integers(0, 3)):
        words = draw(st.sampled_from(_BASES.strip().splitlines())).split()
    command = words[0]
    values = st.sampled_from([*_NAMES, *_TEXTS])
    values = st.one_of(values, values, st.text(st.characters(exclude_characters="/~")))
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from([*seeds()[command], "no_such_flag"]))
        form = draw(st.sampled_from(["--{}={}", "--{}={}", "--{}", "--no{}", "-{}"]))
        words.append(form.format(name, draw(values)))
    if draw(st.integers(0, 3)) == 0:
        words.append(draw(values))
    if command == "client":  # it waits as long as it is told to
        words = [word for word in words if "retries" not in word]
        words.insert(1, "--retries=0")
    if command == "check-gpu":  # it takes four minutes by itself
        words.insert(1, "--seconds=20")
    text = json.dumps([word.replace("\0", "") for word in words])
    return {"words.json": text.encode(errors="surrogatepass")}


def _fill(folder):
    """Makes what names may lead to, in the working directory of a command."""
    (folder / "folder").mkdir(exist_ok=True)
    (folder / "text.txt").write_text("a text\n")
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (800, 2))
    soundfile.write(folder / "song.wav", noise, 8000)
    track, scores = folder / "tracks" / "test" / "one", folder / "scores"
    for made in (track, scores):
        made.mkdir(parents=True)
    for name in ("vocals", "accompaniment"):
        soundfile.write(track / f"{name}.wav", noise, 8000)
    (scores / "one.json").write_text(json.dumps(records.SCORES))


def check(place):
    words = json.loads((place.inputs / "words.json").read_bytes())
    _fill(place.output)
    result = run_here("waveunet_tf", *words, folder=place.output)
    if "Traceback" in result.stderr:
        raise guard.Breach(result.stderr.strip().splitlines()[-1])
    if result.returncode not in (0, 1, 2):
        raise guard.Breach(f"exit code {result.returncode}")
    errors = re.findall(r"^error: ", result.stderr, re.MULTILINE)
    if result.returncode and not errors:
        raise guard.Breach(f"exit code {result.returncode} without a line")
    if result.returncode:
        raise InputError(result.stderr.strip().splitlines()[-1])
