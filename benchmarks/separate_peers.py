r"""Measures speed and memory of separation beside other separators.

    python3 -m venv ~/peers
    ~/peers/bin/pip install torch==2.13.0 tqdm pyyaml numpy
    ~/peers/bin/pip install --no-deps demucs==4.1.0 openunmix==1.3.0 julius einops
    python -m benchmarks.separate_peers --peers_python ~/peers/bin/python

Every system separates noise of 44.1 kHz stereo in a process of its own, in turn, the
shortest song first. All have untrained weights of their published sizes, on which speed
does not depend. Ours goes from a wav file to wav files, with decoding and encoding; the
others go from an array to arrays. Prints seconds of work for a second of audio and the
peak memory, and last the ratio of HTDemucs' time to ours.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags

from benchmarks.separate_memory import write_song
from waveunet_tf.commands import app
from waveunet_tf.configs.networks import VARIANTS

_PEERS_PYTHON = flags.DEFINE_string(
    "peers_python", None, "Python of the venv with torch, demucs and openunmix."
)
_SECONDS = flags.DEFINE_list(
    "seconds", "60,600", "Lengths of the songs in seconds, comma separated."
)
_SYSTEMS = flags.DEFINE_list(
    "systems",
    "waveunet_4,waveunet_2,waveunet_m4,htdemucs,demucs,openunmix,spleeter",
    "The systems to measure, comma separated. waveunet_4, waveunet_2: four or two "
    "sources at 44.1 kHz; waveunet_m4: the paper's M4 at 22.05 kHz, resampled there "
    "and back; spleeter: its U-Nets for two sources; hdemucs is possible, too.",
)
_SYSTEM = flags.DEFINE_string(
    "system", None, "Measure only this system, in this process."
)
_FOLDER = flags.DEFINE_string("folder", None, "The folder of this system's files.")
_SAVE = flags.DEFINE_boolean("save", False, "Save this system's network.")

_RATE_HZ = 44100
_OURS = {
    "waveunet_4": dataclasses.replace(VARIANTS["M6"], sample_rate_hz=_RATE_HZ),
    "waveunet_2": VARIANTS["M5-HighSR"],
    "waveunet_m4": VARIANTS["M4"],
}
# Runs a command, and adds its peak memory to the JSON that it prints.
_CHILD = r"""
import json, resource, subprocess, sys
out = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True).stdout
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({**json.loads(out.splitlines()[-1]), "peak_mib": peak}))
"""


def save_untrained(directory: pathlib.Path, system: str) -> None:
    """Saves a network of ours, converts it and notes the faster engine.

    This needs a process of its own, because only separation's memory is measured.
    """
    import waveunet_tf
    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.networks.build import build_network

    config = _OURS[system]
    checkpoint.save_checkpoint(directory, build_network(config), config)
    waveunet_tf.load(directory)


def measure_ours(folder: pathlib.Path, system: str) -> float:
    """Measures the seconds of work from file to files."""
    import waveunet_tf

    separator = waveunet_tf.load(folder / system)
    targets = {source: folder / f"{source}.wav" for source in separator.config.sources}
    started = time.perf_counter()
    separator.separate_file(folder / "song.wav", targets)
    return time.perf_counter() - started


def measure_spleeter(seconds: int) -> float:
    """Measures the seconds of work of Spleeter's two U-Nets, from array to arrays.

    The sizes are the published ones. The STFT has 4096 frames and a hop of 1024. Its
    lower 1024 bins go in segments of 512 steps through a U-Net for each source; the
    estimates become ratio masks.
    """
    import tensorflow as tf

    networks = [_spleeter_network() for _ in range(2)]

    @tf.function
    def separate(song):  # (frames, 2)
        spectra = tf.signal.stft(tf.transpose(song), 4096, 1024, pad_end=True)
        magnitudes = tf.transpose(tf.abs(spectra), (1, 2, 0))  # (steps, bins, 2)
        count = tf.shape(magnitudes)[0]
        segments = tf.pad(magnitudes[:, :1024], ((0, -count % 512), (0, 0), (0, 0)))
        segments = tf.reshape(segments, (-1, 512, 1024, 2))
        estimates = [tf.square(network(segments)) for network in networks]
        stems = []
        for estimate in estimates:
            mask = tf.reshape(estimate / (sum(estimates) + 1e-10), (-1, 1024, 2))
            mask = tf.pad(mask[:count], ((0, 0), (0, 1025), (0, 0)))
            masked = spectra * tf.cast(tf.transpose(mask, (2, 0, 1)), tf.complex64)
            window = tf.signal.inverse_stft_window_fn(1024)
            stems.append(tf.signal.inverse_stft(masked, 4096, 1024, window_fn=window))
        return stems

    song = np.random.default_rng(0).normal(0, 0.1, (seconds * _RATE_HZ, 2)).astype("f")
    # Spleeter's command separates 10 minutes in one piece, too.
    separate(song[: _RATE_HZ * 2])
    separate.get_concrete_function(tf.TensorSpec(song.shape, tf.float32))
    started = time.perf_counter()
    for stem in separate(song):
        stem.numpy()
    return time.perf_counter() - started


def _spleeter_network():
    """Builds six convolutions of stride 2 down, six up with skips, and a mask."""
    import keras

    inputs = keras.Input((512, 1024, 2))
    features, skips = inputs, []
    for filters in (16, 32, 64, 128, 256, 512):
        conv = keras.layers.Conv2D(filters, 5, strides=2, padding="same")(features)
        skips.append(conv)
        features = keras.layers.BatchNormalization()(conv)
        features = keras.layers.LeakyReLU(negative_slope=0.2)(features)
    features = skips.pop()
    for filters in (256, 128, 64, 32, 16, 1):
        features = keras.layers.Conv2DTranspose(
            filters, 5, strides=2, padding="same", activation="relu"
        )(features)
        features = keras.layers.BatchNormalization()(features)
        if skips:
            features = keras.layers.Concatenate()([skips.pop(), features])
    mask = keras.layers.Conv2D(
        2, 4, dilation_rate=2, padding="same", activation="sigmoid"
    )(features)
    return keras.Model(inputs, keras.layers.Multiply()([mask, inputs]))


def run_system(
    folder: pathlib.Path, system: str, seconds: int
) -> dict[str, float] | None:
    """Measures a system in its own process; returns None if it fails."""
    ours = [sys.executable, "-m", "benchmarks.separate_peers", f"--system={system}"]
    ours += [f"--seconds={seconds}", f"--folder={folder}"]
    command = ours
    if system in _OURS:
        if not (folder / system).exists():
            subprocess.run([*ours, "--save"], check=True)
        write_song(folder / "song.wav", seconds / 60)
    elif system != "spleeter":
        script = pathlib.Path(__file__).with_name("torch_peer.py")
        command = [_PEERS_PYTHON.value, script, system, str(seconds)]
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, *command], stdout=subprocess.PIPE, text=True
    )
    return None if child.returncode else json.loads(child.stdout)


def run_all(folder: pathlib.Path) -> dict[tuple[str, int], float]:
    """Measures all systems; returns (system, seconds) → seconds of work a second."""
    factors = {}
    print(f"{'':<14}{'seconds':>9}{'seconds a second':>18}{'peak memory (MiB)':>19}")
    for seconds in map(int, _SECONDS.value):
        for system in _SYSTEMS.value:
            measured = run_system(folder, system, seconds)
            if measured is None:
                print(f"{system:<14}{seconds:>9}{'failed':>18}", flush=True)
                continue
            factors[system, seconds] = measured["seconds"] / seconds
            print(
                f"{system:<14}{seconds:>9}{factors[system, seconds]:>18.3f}"
                f"{measured['peak_mib']:>19.0f}",
                flush=True,
            )
    return factors


def main(_):
    """Measures all systems, and prints the ratio."""
    if _SYSTEM.value:
        folder, system = pathlib.Path(_FOLDER.value), _SYSTEM.value
        if _SAVE.value:
            save_untrained(folder / system, system)
        elif system in _OURS:
            print(json.dumps({"seconds": measure_ours(folder, system)}))
        else:
            print(json.dumps({"seconds": measure_spleeter(int(_SECONDS.value[0]))}))
        return
    known = {*flags.FLAGS["systems"].default, "hdemucs"}
    if unknown := sorted(set(_SYSTEMS.value) - known):
        raise app.UsageError(
            f"--systems must be of {', '.join(sorted(known))}. Received: {unknown[0]}"
        )
    if _PEERS_PYTHON.value is None and not set(_SYSTEMS.value) <= {*_OURS, "spleeter"}:
        raise app.UsageError("--peers_python must name the Python of the peers' venv")
    with tempfile.TemporaryDirectory() as folder:
        factors = run_all(pathlib.Path(folder))
    ratios = [
        factors["htdemucs", seconds] / factors[system, seconds]
        for system, seconds in factors
        if system == "waveunet_4" and ("htdemucs", seconds) in factors
    ]
    if ratios:
        print(f"HTDemucs' time over ours, four sources each: {min(ratios):.1f}")


if __name__ == "__main__":
    app.run(main)
