r"""Measures a model server: requests a second, latency and memory.

    python -m benchmarks.serving --checkpoint ~/m4/best

The server is the stand-in (export/serving/stand_in.py) in a process of its own on this
machine; the clients are threads here. Without a checkpoint the network is an untrained
M4: speed does not depend on weights. Memory over many requests is measured with a small
network, because a leak would not depend on the network. Prints tables and last the
server's memory after the last request over that after the first tenth of them.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
from absl import flags, logging

from benchmarks import common
from waveunet_tf.commands import app

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The checkpoint; by default an untrained M4."
)
_CLIENTS = flags.DEFINE_list(
    "clients", "1,4,16", "Numbers of clients, comma separated."
)
_SECONDS = flags.DEFINE_float(
    "seconds", 30.0, "The time that each number of clients is measured."
)
_REQUESTS = flags.DEFINE_integer(
    "requests", 1000, "The requests over which memory is measured."
)
_EXCERPT_SECONDS = 10


class ServerProcess:
    """The stand-in with one model, in a process of its own; a context manager."""

    def __init__(self, checkpoint: pathlib.Path, folder: pathlib.Path, threads: int):
        from waveunet_tf.export import saved_model
        from waveunet_tf.export.serving import server_files

        version = folder / "waveunet" / "1"
        saved_model.write_saved_model(checkpoint, version)
        server_files.write_warm_up(version, "waveunet")
        server_files.write_configs(folder, "waveunet", 1)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "waveunet_tf", "stand-in"),
                *(f"--models_dir={folder}", "--port=0", "--rest_port=0"),
                f"--threads={threads}",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> ServerProcess:
        words = self._process.stdout.readline().replace(",", "").split()
        self.address = f"localhost:{words[3]}"
        return self

    def __exit__(self, *_) -> None:
        self._process.terminate()
        self._process.wait()

    def memory_mib(self, field: str = "VmRSS") -> float:
        """Returns the memory in MiB that the server has, or, with VmHWM, its peak."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s*(\d+) kB", status)[1]) / 1024


def separations(address: str, config) -> Iterator[None]:
    """Separates an excerpt at each step."""
    from waveunet_tf.export.serving.model_server import Server
    from waveunet_tf.export.serving.transports import GrpcTransport

    transport = GrpcTransport(Server(address))
    shape = (1, _EXCERPT_SECONDS * config.sample_rate_hz, config.channels)
    audio = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    while True:
        yield transport.separate(audio)


def chunks(address: str, config) -> Iterator[None]:
    """Sends a chunk of a stream at each step."""
    from waveunet_tf.export.serving.model_server import Server
    from waveunet_tf.export.serving.transports import GrpcTransport

    transport = GrpcTransport(Server(address))
    state = transport.predict("initial_state", {"batch": np.ones(1, np.int32)})
    shape = (1, stream_chunk_frames(config), config.channels)
    chunk = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    while True:
        after = transport.predict("stream", {"chunk": chunk, **state})
        state = {name: after[name] for name in state}
        yield


def stream_chunk_frames(config) -> int:
    """Returns the frames of a chunk of the exported stream."""
    from waveunet_tf.export import saved_model
    from waveunet_tf.networks import shapes

    return shapes.chunk_frames(config, saved_model.STREAM_CHUNK_FRAMES)


def latencies(work: Callable[[], Iterator[None]], clients: int) -> tuple[list, float]:
    """Runs clients side by side.

    Args:
        work: Starts a client; each step of its iterator is a request.
        clients: The number of clients.

    Returns:
        The seconds of each request, and the seconds of all together.
    """

    def one_client(steps: Iterator[None]) -> list[float]:
        seconds = []
        while time.monotonic() < until or not seconds:
            started = time.monotonic()
            next(steps)
            seconds.append(time.monotonic() - started)
        return seconds

    steps = [work() for _ in range(clients)]
    next(steps[0])
    started = time.monotonic()
    until = started + _SECONDS.value
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        seconds = list(itertools.chain(*pool.map(one_client, steps)))
    return seconds, time.monotonic() - started


def print_latencies(server: ServerProcess, config) -> None:
    """Prints a line for each kind of request and number of clients."""
    print(
        f"{'requests':>22}{'clients':>8}{'a second':>10}{'audio s a s':>12}"
        f"{'p50 (s)':>9}{'p95':>7}{'p99':>7}{'peak MiB':>10}"
    )
    kinds = {
        f"{_EXCERPT_SECONDS} s excerpts": (separations, _EXCERPT_SECONDS),
        f"chunks of {stream_chunk_frames(config)}": (
            chunks,
            stream_chunk_frames(config) / config.sample_rate_hz,
        ),
    }
    for name, (work, audio_seconds) in kinds.items():
        for clients in map(int, _CLIENTS.value):
            seconds, elapsed = latencies(
                lambda work=work: work(server.address, config), clients
            )
            p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
            rate = len(seconds) / elapsed
            print(
                f"{name:>22}{clients:>8}{rate:>10.2f}{rate * audio_seconds:>12.1f}"
                f"{p50:>9.2f}{p95:>7.2f}{p99:>7.2f}"
                f"{server.memory_mib('VmHWM'):>10.0f}",
                flush=True,
            )


def memory_growth(server: ServerProcess, config) -> float:
    """Measures memory after all requests over that after the first tenth of them."""
    steps, first = separations(server.address, config), None
    for number in range(1, _REQUESTS.value + 1):
        next(steps)
        if number == max(_REQUESTS.value // 10, 1):
            first = server.memory_mib()
    last = server.memory_mib()
    print(
        f"memory after {_REQUESTS.value // 10} requests: {first:.0f} MiB, "
        f"after {_REQUESTS.value}: {last:.0f} MiB"
    )
    return last / first


def main(_):
    """Measures latency, then memory, and prints the ratio."""
    logging.set_verbosity(logging.WARNING)  # TensorFlow logs each save
    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.configs.networks import VARIANTS
    from waveunet_tf.networks.build import build_network

    threads = max(map(int, _CLIENTS.value))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        measured = _CHECKPOINT.value
        if measured is None:
            measured = folder / "m4"
            config = VARIANTS["M4"]
            checkpoint.save_checkpoint(measured, build_network(config), config)
        common.save_small_network(folder / "small")
        config = checkpoint.Checkpoint.open(measured).config
        with ServerProcess(measured, folder / "models", threads) as server:
            print_latencies(server, config)
        config = checkpoint.Checkpoint.open(folder / "small").config
        with ServerProcess(folder / "small", folder / "small models", 1) as server:
            growth = memory_growth(server, config)
    print(
        f"memory after the last request over that after the first tenth: {growth:.3f}"
    )


if __name__ == "__main__":
    app.run(main)
