"""Target: flags and arguments of all commands, most of them wrong.

A command runs in this process. Flags that start servers, emulators or minutes of work
are left out, and networks are tiny.
"""

import functools
import importlib
import json
import os
import pathlib
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import soundfile
from absl import flags
from hypothesis import strategies as st

from tests.command_line import run_here
from tests.fuzz import guard
from waveunet_tf.__main__ import COMMANDS

SLICE = 15
# They serve, train, emulate or ask Docker: what they do with good flags takes minutes.
_LEFT_OUT = ("stand-in", "arm64", "serve-web")
_NAMES = ["song.wav", "text.txt", "folder", "missing", "", ".", "-", "é\udce9", "a b"]
_TEXTS = ["", "0", "-1", "1", "2", "1e9", "nan", "inf", "0x10", "None", "true", "vocals"]
_TEXTS += ["vocals,vocals", ",", "a=b", "[1]", "*", "{stem}", "{x}", "M4", "U7", "wav"]
_TEXTS += ["9" * 30, "x" * 300, "localhost:1", "127.0.0.1:0", "%s", "1,2", "--help"]


@functools.cache
def seeds():
    """Command → the names of its flags."""
    found = {}
    for name, module in COMMANDS.items():
        if name in _LEFT_OUT:
            continue
        shown = run_here("waveunet_tf", name, "--help").stdout
        found[name] = re.findall(r"^\s+--(?:\[no\])?([a-z_0-9]+)", shown, re.MULTILINE)
    return found


@st.composite
def cases(draw):
    command = draw(st.sampled_from(sorted(seeds())))
    words = [command]
    values = st.sampled_from([*_NAMES, *_TEXTS])
    values = st.one_of(values, values, st.text(st.characters(exclude_characters="/~")))
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from([*seeds()[command], "no_such_flag"]))
        form = draw(st.sampled_from(["--{}={}", "--{}={}", "--{}", "--no{}", "-{}"]))
        words.append(form.format(name, draw(values)))
    words += draw(st.lists(values, max_size=2))
    text = json.dumps([word.replace("\0", "") for word in words])
    return {"words.json": text.encode(errors="surrogatepass")}


def _fill(folder):
    """Makes what names may lead to, in the working directory of a command."""
    (folder / "folder").mkdir(exist_ok=True)
    (folder / "text.txt").write_text("a text\n")
    soundfile.write(folder / "song.wav", np.zeros((800, 2)), 8000)


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
