"""Runs a TFLite file for another process, such as a JVM that has no LiteRT.

    python -m waveunet_tf.export.android.bridge FILE.tflite

Reads requests from stdin and answers each on stdout, until stdin ends. Both are
dictionaries of arrays: first their number, then for each array its name and its float32
values. Before each name, values or message stands its number of bytes. Numbers are
int32; all is little-endian. Where the file cannot be run, the answer is -1 and a
message.
"""

from __future__ import annotations

import pathlib
import struct
import sys
from typing import BinaryIO

import numpy as np

from waveunet_tf.separation import litert


def serve(engine: litert.LiteRTEngine, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers requests until they end.

    Args:
        engine: The engine that runs the file.
        requests: The stream to read, in the format above.
        answers: The stream to write, in the format above.
    """

    def read() -> bytes:
        return requests.read(*struct.unpack("<i", requests.read(4)))

    def write(content: bytes) -> None:
        answers.write(struct.pack("<i", len(content)) + content)

    while count := requests.read(4):
        arrays = {}
        for _ in range(*struct.unpack("<i", count)):
            name = read().decode()
            arrays[name] = np.frombuffer(read(), "<f4")
        try:
            outputs = engine(**arrays)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            answers.write(struct.pack("<i", -1))
            write(str(error).encode())
        else:
            answers.write(struct.pack("<i", len(outputs)))
            for name, array in outputs.items():
                write(name.encode())
                write(np.ascontiguousarray(array, "<f4").tobytes())
        answers.flush()


if __name__ == "__main__":
    content = pathlib.Path(sys.argv[1]).read_bytes()
    engine = litert.LiteRTEngine(content, chunk_frames=0, threads=1)
    serve(engine, sys.stdin.buffer, sys.stdout.buffer)
