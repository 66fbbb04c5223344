r"""Measures the high-frequency buzz of transposed convolutions.

    python -m benchmarks.upsampling_artifacts --plot docs/upsampling_artifacts.png

This is why the paper interpolates. Low-passed noise goes through untrained networks of
M3's kind that differ only in their upsampling, with several draws of weights each. The
energy above the input's band and its harmonics is measured. Prints last how far
transposed convolution is above linear interpolation there, in dB.
"""

import dataclasses

import matplotlib
import numpy as np
from absl import flags
from matplotlib import pyplot
from scipy import signal

from waveunet_tf.commands import app
from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.networks import shapes
from waveunet_tf.system import files

_PLOT = flags.DEFINE_string("plot", None, "The picture of the spectra to write.")
_DRAWS = flags.DEFINE_integer(
    "draws", 8, "Draws of weights; each spectrum is their mean.", lower_bound=1
)
_BAND_HZ = flags.DEFINE_integer(
    "band_hz", 1000, "Cut-off of the input's low-pass, in Hz.", lower_bound=50
)

UPSAMPLINGS = ("transposed", "linear", "learned")
# Below this multiple of the band are the harmonics that LeakyReLU makes in all of them.
_HARMONICS = 4


def low_passed_noise(frames: int, rate_hz: int) -> np.ndarray:
    """Returns white noise below the band's edge, `(1, frames, 1)`, of level 0.1."""
    white = np.random.default_rng(0).normal(0, 1, frames)
    low_pass = signal.ellip(8, 0.1, 120, _BAND_HZ.value, fs=rate_hz, output="sos")
    noise = signal.sosfiltfilt(low_pass, white)
    return (0.1 * noise / noise.std())[None, :, None].astype(np.float32)


def spectrum_of(audio: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes frequencies in Hz and power densities that add up to 1.

    Args:
        audio: `(1, frames, 1)`.
        rate_hz: Its sample rate in Hz.

    Returns:
        Two arrays `(bins,)`.
    """
    hz, power = signal.welch(
        audio[0, :, 0], rate_hz, "blackmanharris", 2048, detrend="constant"
    )
    return hz, power / power.sum()


def output_spectra(upsampling: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Computes spectra `(bins,)` of untrained networks, one for each draw."""
    import keras

    from waveunet_tf.networks.build import build_network

    config = dataclasses.replace(
        VARIANTS["M3"], upsampling=upsampling, output_activation="linear"
    )
    frames = shapes.window_frames(config, 65536).input_frames
    noise = low_passed_noise(frames, config.sample_rate_hz)
    spectra = []
    for draw in range(_DRAWS.value):
        keras.utils.set_random_seed(draw)
        network = build_network(config)
        estimate = np.asarray(network(noise)[config.sources[0]])
        hz, power = spectrum_of(estimate, config.sample_rate_hz)
        spectra.append(power)
    return hz, spectra


def main(_):
    """Measures every kind of upsampling, and prints the difference."""
    above_db, curves = {}, {}
    for upsampling in UPSAMPLINGS:
        hz, spectra = output_spectra(upsampling)
        beyond = hz > _HARMONICS * _BAND_HZ.value
        shares = [10 * np.log10(power[beyond].sum()) for power in spectra]
        above_db[upsampling] = np.median(shares)
        curves[upsampling] = 10 * np.log10(np.mean(spectra, axis=0) + 1e-20)
        print(
            f"{upsampling:<12} energy above {_HARMONICS * _BAND_HZ.value} Hz: median "
            f"{above_db[upsampling]:6.1f} dB of the output's, "
            f"{min(shares):.1f} to {max(shares):.1f} dB in {len(shares)} draws"
        )
    if _PLOT.value:
        plot(hz, curves)
    difference = above_db["transposed"] - above_db["linear"]
    print(f"transposed over linear: {difference:+.1f} dB above the band's harmonics")


def plot(hz: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    """Draws the mean spectra `(bins,)`."""
    matplotlib.use("Agg")
    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    for upsampling, curve in curves.items():
        axes.plot(hz / 1000, curve, label=upsampling, lw=1)
    axes.axvline(_BAND_HZ.value / 1000, color="black", ls=":", lw=1)
    axes.annotate(
        "the input ends here",
        (_BAND_HZ.value / 1000, curves["linear"].max()),
        textcoords="offset points",
        xytext=(6, -4),
        fontsize=9,
    )
    axes.set_xlabel("frequency (kHz)")
    axes.set_ylabel("share of the output's power (dB a bin)")
    axes.set_title("Output of untrained networks that differ in their upsampling only")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    with files.atomic_file(_PLOT.value) as part:
        figure.savefig(part, dpi=120)


if __name__ == "__main__":
    app.run(main)
