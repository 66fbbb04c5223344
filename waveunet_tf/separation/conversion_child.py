"""Has a network's step made in a process of its own, which ends with TensorFlow.

TensorFlow takes hundreds of megabytes for as long as its process lives, and a converted
step needs none of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

from waveunet_tf.errors import InputError
from waveunet_tf.separation.litert_conversion import ConversionError
from waveunet_tf.system import child_python

_START = (
    "from waveunet_tf.separation import conversion_worker; conversion_worker.main()"
)


class MadeStep(NamedTuple):
    """A converted step.

    Attributes:
        content: The content of a TFLite file.
        faster: The name of the engine that measured faster; None: none was measured.
    """

    content: bytes
    faster: str | None


def is_of_use() -> bool:
    """Returns whether TensorFlow is not loaded here, and another process can start."""
    return "tensorflow" not in sys.modules and child_python.can_start()


def make_step(
    directory: pathlib.Path,
    chunk_frames: int | None,
    threads: int | None,
    *,
    measure: bool,
) -> MadeStep | None:
    """Makes a checkpoint's step, unless it lies in the cache, where it then is.

    Args:
        directory: The checkpoint.
        chunk_frames: The most frames of a step; None: what measured fastest.
        threads: The most threads of the CPU; None: one for each core.
        measure: Whether to measure which engine is faster, and to note it in the cache.

    Returns:
        The step; None where the other process failed in another way than those below,
        of which this process will see the reason if it tries.

    Raises:
        InputError: The weights are missing or broken.
        ConversionError: TensorFlow cannot convert the network, or its process died.
    """
    request = json.dumps([os.path.abspath(directory), chunk_frames, threads, measure])
    with contextlib.ExitStack() as stack:
        try:
            # For TensorFlow's files, which are left when the process is killed.
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            child = child_python.start_python(
                _START,
                request,
                stdin=subprocess.PIPE,  # Its end is this process' end.
                stdout=subprocess.PIPE,
                env={
                    **os.environ,
                    **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder),
                    "CUDA_VISIBLE_DEVICES": "",  # A step is for the CPU.
                },
            )
        except OSError:
            return None
        try:
            head, content = child.stdout.readline(), child.stdout.read()
            code = child.wait()
        finally:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()
    if code < 0:
        how = child_python.how_it_ended(code)
        raise ConversionError(f"cannot be converted for LiteRT: its process died{how}")
    if code:
        return None
    answer = json.loads(head)
    if "error" in answer:
        kinds = {kind.__name__: kind for kind in (InputError, ConversionError)}
        raise kinds[answer["error"]](answer["text"])
    return MadeStep(content, answer["faster"])
