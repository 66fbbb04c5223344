"""What `conversion_child.make_step` runs: it answers by standard output.

The answer is a line of JSON, and the content of a TFLite file.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.separation.engines import EngineLoader
from waveunet_tf.separation.litert_conversion import ConversionError
from waveunet_tf.system import quiet_import


def main() -> None:
    """Makes the step that the last argument asks for, and ends the process."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # What a library prints is no answer.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quiet_import.import_quietly()
    try:
        head, content = _answer(*json.loads(sys.argv[-1]))
        answers.write(json.dumps(head).encode() + b"\n" + content)
        answers.flush()
    except BaseException:  # The other process tries, and tells what it finds.
        os._exit(1)
    os._exit(0)  # Libraries take their time to end.


def _end_with_parent() -> None:
    os.read(0, 1)  # Nothing comes but the end.
    os._exit(1)


def _answer(
    directory: str, chunk_frames: int | None, threads: int | None, measure: bool
) -> tuple[dict[str, Any], bytes]:
    try:
        checkpoint = Checkpoint.open(directory)
        loader = EngineLoader(checkpoint, "cpu", threads, chunk_frames, apart=False)
        with loader.cache.locked():
            faster = loader.faster().name if measure else None
            return {"faster": faster}, loader.step()
    except (InputError, ConversionError) as error:
        return {"error": type(error).__name__, "text": str(error)}, b""
