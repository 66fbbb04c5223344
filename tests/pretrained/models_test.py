"""The trained models that the package carries."""

import h5py
import numpy as np
import pytest

import waveunet_tf
from waveunet_tf.checkpoints import card_page, checkpoint, packing, registry
from waveunet_tf.checkpoints.checkpoint import DYNAMIC, FLOAT32, Checkpoint
from waveunet_tf.export import parity_songs
from waveunet_tf.networks import shapes
from waveunet_tf.separation.litert import LiteRTEngine
from waveunet_tf.separation.separator import Separator


@pytest.fixture(autouse=True)
def own_models(monkeypatch):
    """Those of the package, whatever the environment says."""
    monkeypatch.delenv(registry.FOLDER_VARIABLE, raising=False)


def models():
    folder = registry.PACKAGED
    return sorted(path.name for path in folder.glob("*/") if path.is_dir())


@pytest.mark.parametrize("name", models())
def test_a_shipped_model_is_whole_small_and_separates(name):
    """Noise, at a rate that is not the network's; its hash is checked as it loads."""
    card = registry.read_card(registry.folder_of(name))
    weights = card.files[checkpoint.WEIGHTS]
    assert 0 < weights["size_bytes"] <= packing.MAX_BYTES
    separator = waveunet_tf.load(
        registry.folder_of(name), engine="tensorflow", chunk_frames=16384
    )
    config = separator.config
    assert list(config.sources) == card.sources
    assert config.sample_rate_hz == card.sample_rate_hz
    assert config.channels == card.channels
    assert f"{name}: {', '.join(config.sources)}; " in registry.describe_model(name)
    noise = np.random.default_rng(0).normal(0, 0.1, (44100, config.channels))
    stems = separator.separate(noise, 44100)
    np.testing.assert_allclose(sum(stems.values()), noise, atol=1e-5)
    for stem in stems.values():
        assert np.isfinite(stem).all() and np.any(stem)


@pytest.mark.parametrize("name", models())
def test_a_shipped_model_brings_its_step_along(name, new_cache):
    """It separates as the network does, at once: nothing is converted or kept."""
    folder = registry.folder_of(name)
    separator = waveunet_tf.load(folder)
    assert separator.engine == "litert"
    assert not new_cache.exists()
    network = waveunet_tf.load(folder, engine="tensorflow", chunk_frames=16384)
    rate_hz = separator.config.sample_rate_hz
    noise = np.random.default_rng(1).normal(0, 0.1, (50_000, separator.config.channels))
    stems = separator.separate(noise, rate_hz)
    for source, expected in network.separate(noise, rate_hz).items():
        np.testing.assert_allclose(stems[source], expected, atol=1e-5)


def snr_db(actual, expected):
    """The SNR of stems in the median second, all sources as one signal."""
    stems, exact = np.stack([*actual.values()]), np.stack([*expected.values()])
    seconds = [
        np.square(samples[:, : 6 * 22050], dtype=np.float64)
        .reshape(len(exact), 6, -1)
        .sum((0, 2))
        for samples in (exact, stems - exact)
    ]
    return 10 * np.log10(np.median(seconds[0] / seconds[1]))


def test_the_smaller_step_of_the_small_model_is_40_db_from_the_other():
    """On six seconds of music that training did not see."""
    model = Checkpoint.open("vocals-small")
    (song,) = parity_songs.find_parity_songs(None, model.config, max_songs=1)
    steps = {kind: model.carried_step(32768, kind) for kind in (FLOAT32, DYNAMIC)}
    stems = {
        kind: Separator(
            model.config, LiteRTEngine(step, chunk_frames=32768, threads=1)
        ).separate(song.mixture, model.config.sample_rate_hz)
        for kind, step in steps.items()
    }
    assert snr_db(stems[DYNAMIC], stems[FLOAT32]) > 40
    assert len(steps[DYNAMIC]) < 0.45 * len(steps[FLOAT32])


@pytest.mark.parametrize("name", models())
def test_the_card_of_a_shipped_model_says_what_its_files_are(name):
    """The rest of a card was measured, by the commands beside it."""
    folder = registry.folder_of(name)
    text = card_page.card_page(name)
    assert card_page.facts(name) in text
    with h5py.File(folder / checkpoint.WEIGHTS) as file:
        sizes = []
        file.visititems(lambda _, item: sizes.append(getattr(item, "size", 0)))
    assert f"has {sum(sizes):,} weights".replace(",", "\u00a0") in text
    card = registry.read_card(folder)
    for file_name, values in card.files.items():
        size = f"{values['size_bytes'] / 1e6:.1f} MB"
        assert file_name == checkpoint.CONFIG or size in text
    for median in card.median_sdr_db.values():
        assert f"| {median:.2f} \u00b1 " in text
    config = Checkpoint.open(folder).config
    ahead = shapes.stream_plan(config).latency_frames / config.sample_rate_hz
    assert f"hears {ahead:.2f} s ahead" in text
    for heading in ("trained on", "Scores", "Speed and size", "bad at"):
        assert heading in text
    for word in ("licence", "Teacher", "Steps", "Hardware", "Spleeter", "mixture"):
        assert word in text
    assert "research" in (folder / "LICENSE").read_text(encoding="utf-8")
