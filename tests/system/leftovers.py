"""What killed processes leave half-written, for tests of its removal."""

import subprocess
import sys

LEAVE = (
    "import os, sys; from waveunet_tf.system import files\n"
    "made = files.atomic_folder(sys.argv[1])\n"
    "(made.__enter__() / 'x').write_text('half')\n"
    "os._exit(9)\n"
)


def leave_half(path):
    """Begins a folder in a process that dies; returns the hidden folder."""
    before = set(path.parent.glob(".part-*"))
    subprocess.run([sys.executable, "-c", LEAVE, path], check=False)
    (left,) = set(path.parent.glob(".part-*")) - before
    return left
