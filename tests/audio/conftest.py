import pytest
import soundfile

from tests.audio import planted_decoders
from tests.audio.signals import noise, tone, write_with_ffmpeg
from waveunet_tf.audio import decoder_child
from waveunet_tf.data.sigsep import import_sigsep


@pytest.fixture(scope="session")
def example():
    """The stem.mp4 of MUSDB18 that stempeg carries."""
    return import_sigsep("stempeg").example_stem_path()


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setattr(decoder_child, "_START", planted_decoders.START)


@pytest.fixture(scope="module")
def ffmpeg_files(tmp_path_factory):
    """Files that FFmpeg decodes."""
    folder = tmp_path_factory.mktemp("files")
    write_with_ffmpeg(folder / "a.m4a", "aac", tone(150_000), tags={"title": "Süß"})
    write_with_ffmpeg(folder / "b.mka", "alac", noise(200_000))
    soundfile.write(folder / "c.mp3", tone(70_000)[:, :1], 22050)
    (folder / "c.mp3").rename(folder / "café\udce9.mp3")
    return folder
