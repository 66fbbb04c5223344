import numpy as np
import pytest
import soundfile

from examples.pretrained import spectrogram_panels
from tests.command_line import check_refusal, run_here
from waveunet_tf.errors import InputError

PICTURE = "examples.pretrained.example_picture"
STEMS = ("mixture", "accompaniment", "vocals")


@pytest.fixture
def track(tmp_path):
    """A second of three stems that tell their frames."""
    folder = tmp_path / "track"
    folder.mkdir()
    frames = np.arange(8000) / 8000
    for number, name in enumerate(STEMS):
        stem = np.stack([frames, -frames], axis=1) / (number + 1)
        soundfile.write(folder / f"{name}.wav", stem, 8000, subtype="FLOAT")
    return folder


def test_a_part_begins_and_ends_at_its_frames(track):
    part, rate_hz = spectrogram_panels.read_part(track, STEMS, 0.25, 0.5)
    assert rate_hz == 8000
    expected = np.arange(2000, 6000) / 8000
    for number, name in enumerate(STEMS):
        assert part[name].dtype == np.float32
        np.testing.assert_allclose(part[name][:, 0], expected / (number + 1), rtol=1e-6)
        np.testing.assert_array_equal(part[name][:, 1], -part[name][:, 0])
    part, _ = spectrogram_panels.read_part(track, STEMS, 0.75, 10)
    assert len(part["vocals"]) == 2000


def test_a_part_after_the_end_or_of_a_missing_stem_is_refused(track):
    with pytest.raises(InputError, match=r"mixture.wav: must be longer .* 1.00 s"):
        spectrogram_panels.read_part(track, STEMS, 1.0, 1.0)
    with pytest.raises(FileNotFoundError, match=r"drums\.wav"):
        spectrogram_panels.read_part(track, ("drums",), 0.0, 1.0)


def test_the_panels_show_a_tone_at_its_frequency():
    """The brightest row of a tone has its frequency, on the axis' own marks."""
    seconds = np.arange(2 * 16000) / 16000
    tones = {
        f"{hz} Hz": 0.5 * np.sin(2 * np.pi * hz * seconds)[:, None]
        for hz in (1000, 4000)
    }
    figure = spectrogram_panels.draw_panels(tones, 16000)
    for panel, hz in zip(figure.axes, (1000, 4000)):
        (image,) = panel.get_images()
        levels = np.asarray(image.get_array())
        heights = (np.arange(len(levels)) + 0.5) / len(levels)
        brightest = heights[levels.mean(axis=1).argmax()]
        marks = {
            label.get_text(): place
            for label, place in zip(panel.get_yticklabels(), panel.get_yticks())
        }
        assert brightest == pytest.approx(marks[f"{hz // 1000}k"], abs=0.01)
        assert panel.get_title(loc="left") == f"{hz} Hz"


def test_a_picture_of_a_part_is_written(track, tiny_checkpoint, tmp_path):
    command = [PICTURE, "--checkpoint", tiny_checkpoint, "--track", track]
    command += ["--output", tmp_path / "a.png"]
    result = run_here(*command, "--duration_seconds=0.3")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path}/a.png\n"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    late = run_here(*command[:-1], tmp_path / "b.png", "--start_seconds=9")
    check_refusal(late, 1, "mixture.wav: must be longer than `start_seconds`, 9.0")
    assert not (tmp_path / "b.png").exists()
