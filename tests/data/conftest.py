import numpy as np
import pytest
import soundfile

STEMS = ("bass", "drums", "other", "vocals")


@pytest.fixture
def constant_stems_dir(tmp_path):
    """Track k's nth stem is the constant (k + 1) 8^-(n + 1): a digit of its own."""
    for track in range(3):
        for place, stem in enumerate(STEMS):
            path = tmp_path / "constant" / "train" / str(track) / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            level = 8.0 ** -(place + 1) * (track + 1)
            soundfile.write(path, np.full((2000, 2), level), 8000, subtype="FLOAT")
    return tmp_path / "constant"


@pytest.fixture
def source_dir(tmp_path):
    """One song of three stems, 44.1 kHz, quiet enough to sum."""
    seconds = np.arange(44100)[:, None] / 44100
    for name, hz in {"vocals": 440, "drums": 1000, "bass": 100}.items():
        path = tmp_path / "source" / "train" / "song" / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        tone = 0.25 * np.sin(2 * np.pi * hz * seconds * [1, 2])
        soundfile.write(path, tone, 44100, subtype="PCM_24")
    return tmp_path / "source"
