"""The property of all targets, and the guarded folder in which an input is tried.

A target is a module of this package that has two functions. `cases()` gives a strategy
of hypothesis, of cases: each is a dict of files, name → content. `check(place)` tries
the case that lies in `place.inputs`, and may write to `place.output` only.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import tempfile
import traceback

from waveunet_tf.errors import InputError

MAX_SECONDS = 60
MAX_BYTES = 2**30
ROOT = pathlib.Path(__file__).parents[2]


class Breach(Exception):
    """The property does not hold, though nothing was raised."""


class Place:
    """A folder with an input, surrounded by what no input may change.

    Attributes:
        inputs: The folder of the case's files.
        output: The folder that may be written; new for each case.
    """

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.inputs, self.output = self.root / "inputs", self.root / "output"
        for name in ("home", "tmp", "work"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
            (self.root / name / "sentinel").write_text("stays\n")
        (self.root / "tmp" / "sentinel").unlink()  # temporary files must be gone

    def try_case(self, case, check):
        """Tries a case.

        Returns:
            Whether it was refused: an InputError or an error of the system's.

        Raises:
            Exception: Whatever else the case raises, or a Breach.
        """
        for folder in (self.inputs, self.output):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for name, content in case.items():
            path = self.inputs / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        before, peak = self._snapshot(), _restarted_peak()
        refused = False
        try:
            with _inside(self.root):
                check(self)
        except InputError as error:
            refused = True
            if not str(error).strip():
                raise Breach("an InputError without a word") from error
        except OSError as error:
            if error.errno is None or error.errno == errno.EFAULT:
                raise  # a library's, or one that names nothing
            refused = True
        if (changed := self._snapshot()) != before:
            names = sorted({path for path, _ in before ^ changed})
            raise Breach(f"changed outside of the output: {names[0]}")
        if (grown := _peak() - peak) > MAX_BYTES:
            raise Breach(f"took {grown / 2**20:.0f} MiB more memory")
        return refused

    def _snapshot(self):
        found = set()
        for folder, names, files in os.walk(self.root):
            if folder == str(self.root):
                names.remove("output")
            for name in (*names, *files):
                if name.startswith("__autograph_generated_file"):
                    continue  # TensorFlow removes them when the process ends
                path = os.path.join(folder, name)
                status = os.lstat(path)
                is_file = name in files
                found.add((path, is_file and (status.st_size, status.st_mtime_ns)))
        return found


@contextlib.contextmanager
def _inside(root):
    """Makes a home, a folder of temporary files and a working directory of a place."""
    variables = {"HOME": str(root / "home"), "TMPDIR": str(root / "tmp")}
    kept = {name: os.environ.get(name) for name in variables}
    folder, tempdir = os.getcwd(), tempfile.tempdir
    os.environ.update(variables)
    tempfile.tempdir = None
    os.chdir(root / "work")
    try:
        yield
    finally:
        os.chdir(folder)
        tempfile.tempdir = tempdir
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _restarted_peak():
    """Lets Linux measure the highest memory anew; returns it, in bytes."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak():
    return memory(field="VmHWM")


def memory(process="self", field="VmRSS"):
    """Returns a process' memory in bytes; 0 if it has ended, or is not on Linux."""
    with contextlib.suppress(OSError, TypeError):
        text = pathlib.Path(f"/proc/{process}/status").read_text()
        return 1024 * int(re.search(rf"{field}:\s+(\d+)", text)[1])
    return 0


def kept(name, make):
    """Makes the content of a whole file, once for all children of a target."""
    folder = os.environ.get("FUZZ_KEPT")
    if not folder:
        return make()
    path = pathlib.Path(folder) / name
    if not path.exists():
        path.write_bytes(make())
    return path.read_bytes()


def signature(error):
    """Names a fault: the kind of the error, and where in the project it rose."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        frame
        for frame in frames
        if str(ROOT) in frame.filename
        and "/tests/fuzz/" not in frame.filename
        and "/site-packages/" not in frame.filename
    ]
    text = str(error).partition("/")[0]
    text = re.sub(r"[^\w ]|\d", "", text)[:60] if not ours else ""
    places = [
        f"{pathlib.Path(frame.filename).stem}.{frame.name}" for frame in ours[-2:]
    ]
    return "-".join([type(error).__name__, *places, *text.split()])


def check_audio(audio, channels=None):
    """Requires that audio `(frames, channels)` is finite, and not empty."""
    import numpy as np

    if audio.ndim != 2 or not len(audio):
        raise Breach(f"audio of the shape {audio.shape}")
    if channels is not None and audio.shape[1] != channels:
        raise Breach(f"{audio.shape[1]} channels in place of {channels}")
    if not np.isfinite(audio).all():
        raise Breach("audio that is not finite")
