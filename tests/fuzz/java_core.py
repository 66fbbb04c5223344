"""Target: the Java core of the Android app reads spoiled .tflite and wav files."""

import functools
import io
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
import soundfile
from hypothesis import strategies as st

from tests.fuzz import edits, guard, tflite_files
from waveunet_tf.errors import InputError

SLICE = 6
_SOURCES = guard.ROOT / "export/android/separator/src"


def reason_to_skip():
    return "" if shutil.which("javac") else "needs a JDK"


def _wav(subtype):
    file = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (900, 2))
    soundfile.write(file, noise, 8000, subtype, format="WAV")
    return file.getvalue()


@functools.cache
def seeds():
    _compiled()
    wavs = [_wav(subtype) for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT")]
    return {"a.wav": wavs, "a.tflite": tflite_files.seeds()}


@st.composite
def cases(draw):
    name = draw(st.sampled_from(sorted(seeds())))
    if name == "a.tflite" and draw(st.booleans()):
        content = draw(st.sampled_from(seeds()[name]))
        text = draw(edits.spoiled_json([tflite_files.metadata(content)]))
        return {name: tflite_files.with_metadata(content, text)}
    return {name: draw(edits.spoiled(seeds()[name]))}


@functools.cache
def _compiled():
    """The folder of the core's classes, which lives as long as this process."""
    folder = tempfile.TemporaryDirectory()
    sources = map(str, pathlib.Path(_SOURCES).rglob("*.java"))
    command = ["javac", "-nowarn", "-encoding", "UTF-8", "-d", folder.name, *sources]
    subprocess.run(command, check=True, capture_output=True)
    return folder


class _Loop:
    """A JVM that reads one file after another."""

    def __init__(self):
        self.process = None

    def ask(self, path):
        if self.process is None or self.process.poll() is not None:
            words = ["java", "-Xmx1g", "-Xss512k", "-XX:+UseSerialGC"]
            words += ["-XX:TieredStopAtLevel=1", "-cp", _compiled().name]
            self.process = subprocess.Popen(
                [*words, "org.waveunet.separator.FileLoop"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


_LOOP = _Loop()


def check(place):
    (path,) = place.inputs.iterdir()
    answer = _LOOP.ask(path)
    if answer.startswith("refused "):
        raise InputError(answer)
    if answer != "result":
        raise guard.Breach(answer or "the JVM has ended")
