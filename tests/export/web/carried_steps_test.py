import importlib.util

import numpy as np
import pytest

from tests.chromium import headless_chromium
from tests.export.web import browser
from waveunet_tf.checkpoints import registry
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.export.android import golden
from waveunet_tf.export.web import carried_steps, site_folder, site_models
from waveunet_tf.networks import shapes
from waveunet_tf.networks.program import build_program
from waveunet_tf.separation import litert_conversion, tflite_file
from waveunet_tf.separation.litert import LiteRTEngine
from waveunet_tf.separation.separator import Separator, load_separator

pytestmark = pytest.mark.xdist_group("web")


@pytest.fixture
def no_tensorflow(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "tensorflow" else find_spec(name, *rest),
    )


def test_a_carried_step_tells_how_long_its_lines_are():
    checkpoint = Checkpoint.open(registry.folder_of("vocals-small"))
    content = carried_steps.carried_model(checkpoint, 32768)
    told = tflite_file.read_metadata("vocals", content)
    assert told["quantization"] == "float32"
    assert told["sources"] == list(checkpoint.config.sources)
    whole = shapes.stream_state_frames(checkpoint.config)
    assert sorted(s["line_frames"] for s in told["states"]) == sorted(whole.values())
    assert all(s["shape"][1] <= s["line_frames"] for s in told["states"])


def test_a_checkpoint_without_a_step_has_no_such_model(tiny_checkpoint):
    checkpoint = Checkpoint.open(tiny_checkpoint)
    assert carried_steps.carried_model(checkpoint, 512) is None


@pytest.mark.parametrize(
    ("kinds", "written"),
    [
        (["dynamic", "float32"], ["dynamic", "float32"]),
        (["dynamic"], ["dynamic"]),
        (["float32", "int8"], ["float32"]),
        (["float16"], ["float32"]),
    ],
)
def test_without_tensorflow_a_site_has_the_steps_that_a_model_carries(
    no_tensorflow, tmp_path, kinds, written
):
    lines = site_models.write_models(["vocals-small"], kinds, 32768, tmp_path)
    assert [line.quantization for line in lines] == written
    for line in lines:
        assert line.name == "vocals-small" and line.description
        assert line.file == f"models/vocals-small-{line.quantization}.tflite"
    assert (tmp_path / "licences" / "model-vocals-small.txt").exists()


@pytest.mark.slow
def test_the_page_keeps_lines_that_are_longer_than_a_step(
    chromium, small_site, tiny_checkpoint, monkeypatch
):
    """A step of 8 frames, whose delays are longer."""
    checkpoint = Checkpoint.open(tiny_checkpoint)
    network = checkpoint.load_network()
    for weights in network.weights:  # else all states of silence are zeros
        if weights.path.endswith("bias"):
            weights.assign(weights + 0.1)
    program = build_program(checkpoint.config, network, 8)
    step = litert_conversion.convert_program(program, network.variables)
    monkeypatch.setattr(Checkpoint, "carried_step", lambda self, frames, kind: step)
    content = carried_steps.carried_model(checkpoint, 8)
    told = tflite_file.read_metadata("tiny", content)
    assert any(s["shape"][1] < s["line_frames"] for s in told["states"])
    (small_site / "carried").write_bytes(content)
    engine = LiteRTEngine(step, chunk_frames=8, threads=1)
    song = golden.song(1003, 2, 8000) / 3
    expected = Separator(checkpoint.config, engine).separate(song, 8000)
    with browser.served(small_site, isolated=False) as address:
        page = browser.open_lab(chromium, address)
        browser.load(page, "carried")
        for _ in range(2):  # each song begins in silence
            stems = browser.separated(page, small_site, song, 8000)
            for name, stem in expected.items():
                np.testing.assert_allclose(stems[name], stem, atol=1e-6)
        page.context.close()


@pytest.mark.slow
def test_the_page_runs_a_carried_step(web_libraries, no_tensorflow, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    site_folder.write_site(site, ["vocals-small"], ["dynamic", "float32"], 32768)
    browser.add_lab(site)
    song = golden.song(120_001, 2, 22050) / 3
    expected = load_separator("vocals-small").separate(song, 22050)
    with (
        headless_chromium("--disable-gpu") as started,
        browser.served(site, isolated=False) as address,
    ):
        page = browser.open_lab(started, address)
        browser.load(page, "models/vocals-small-float32.tflite")
        for _ in range(2):  # each song begins in silence
            stems = browser.separated(page, site, song, 22050)
            for name, stem in expected.items():
                np.testing.assert_allclose(stems[name], stem, atol=1e-6)
        browser.load(page, "models/vocals-small-dynamic.tflite")
        stems = browser.separated(page, site, song, 22050)
        errors = [np.square(stems[name] - expected[name]).sum() for name in expected]
        power = sum(np.square(stem).sum() for stem in expected.values())
        assert 0 < sum(errors) < 1e-3 * power
