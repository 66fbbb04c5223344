"""Separates noise with a PyTorch separator, for separate_peers.py.

    PEERS/bin/python benchmarks/torch_peer.py htdemucs 60

Prints the seconds of work as JSON. It runs in the peers' venv and imports nothing of
this project.
"""

import json
import sys
import time
import types

import torch

SOURCES = ["drums", "bass", "other", "vocals"]
RATE_HZ = 44100


def htdemucs():
    """Loads HTDemucs as published: the class's defaults, 512 channels at the bottom."""
    from demucs.htdemucs import HTDemucs

    return _demucs(HTDemucs(SOURCES, bottom_channels=512, segment=7.8))


def hdemucs():
    """Loads Hybrid Demucs (version 3) at the class's defaults."""
    from demucs.hdemucs import HDemucs

    return _demucs(HDemucs(SOURCES))


def demucs():
    """Loads the waveform Demucs at the class's defaults."""
    from demucs.demucs import Demucs

    return _demucs(Demucs(SOURCES))


def _demucs(model):
    from demucs.apply import apply_model

    # Its command does this, too: segments overlap by a quarter, one random shift.
    return lambda song: apply_model(model.eval(), song, shifts=1, overlap=0.25)


def openunmix():
    """Loads UMX-L: four LSTMs, hidden size 1024, 16 kHz bandwidth, one Wiener step."""
    # It imports torchaudio, which nothing here uses.
    sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
    from openunmix.model import OpenUnmix, Separator

    targets = {
        source: OpenUnmix(nb_bins=2049, hidden_size=1024, max_bin=1487)
        for source in SOURCES
    }
    return Separator(targets, niter=1, residual=False).eval()


def main() -> None:
    """Prints the seconds of one separation."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    torch.manual_seed(0)
    separate = globals()[name]()
    with torch.inference_mode():
        separate(0.1 * torch.randn(1, 2, 2 * RATE_HZ))  # first calls cost more
        song = 0.1 * torch.randn(1, 2, seconds * RATE_HZ)
        started = time.perf_counter()
        stems = separate(song)
        took = time.perf_counter() - started
    if stems.shape != (1, len(SOURCES), *song.shape[1:]):
        sys.exit(f"{name} returned stems of shape {tuple(stems.shape)}")
    print(json.dumps({"seconds": took}))


if __name__ == "__main__":
    main()
