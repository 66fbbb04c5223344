"""Parts of stems that go to another machine and come back as codes."""

import dataclasses
import shutil
import zipfile

import numpy as np
import pytest
import soundfile

from examples.pretrained import coded_stems
from examples.pretrained.stem_parts import read_stem_parts, write_stem_parts
from tests.command_line import check_refusal, run_here
from waveunet_tf.errors import InputError


@pytest.fixture(scope="module")
def parts(kept_stems_dir, tmp_path_factory):
    """The tiny stems, one track a part, without loss."""
    folder = tmp_path_factory.mktemp("data") / "parts"
    written = write_stem_parts([kept_stems_dir], folder, part_bytes=1, format="flac")
    assert written == (3, 2, 6500)
    return folder


def snr_db(signal, noise):
    return 10 * np.log10(np.sum(np.square(signal)) / np.sum(np.square(noise)))


def test_parts_hold_the_tracks_of_their_folder(parts, kept_stems_dir, tiny_config):
    assert [path.name for path in sorted(parts.iterdir())] == [
        f"part-0{number}.zip" for number in range(3)
    ]
    train = read_stem_parts(parts, "train", tiny_config)
    assert (train.names, train.frames) == (["one", "two"], [4000, 2500])
    assert train.firsts == [0, 4000]
    for stem in ("accompaniment", "vocals"):
        codes = train.codes[stem][stem]
        assert codes.shape == (6500, 2)
        for name, first, frames in [("one", 0, 4000), ("two", 4000, 2500)]:
            samples, _ = soundfile.read(kept_stems_dir / "train" / name / f"{stem}.wav")
            decoded = np.asarray(
                coded_stems.decode_samples(codes[first : first + frames])
            )
            assert snr_db(samples, decoded - samples) > 35
    valid = read_stem_parts(parts, "valid", tiny_config)
    assert (valid.names, valid.frames) == (["three"], [1000])


def test_vorbis_keeps_length_and_place_of_music(stems_dir, tiny_config, tmp_path):
    """Of a tone of another pitch in each stem; noise would not be kept so well."""
    for number, path in enumerate(sorted(stems_dir.rglob("*.wav"))):
        samples, rate_hz = soundfile.read(path)
        seconds = np.arange(len(samples))[:, None] / rate_hz
        tone = 0.3 * np.sin(2 * np.pi * np.array([200, 210]) * (number + 1) * seconds)
        soundfile.write(path, tone, rate_hz, subtype="FLOAT")
    result = run_here(
        *("examples.pretrained.pack_stems", "--data_dir", stems_dir),
        *("--output_dir", tmp_path / "parts"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("parts: 1 parts, 2 training tracks, 6500 frames\n")
    stems = read_stem_parts(tmp_path / "parts", "train", tiny_config)
    for stem in ("accompaniment", "vocals"):
        decoded = np.asarray(coded_stems.decode_samples(stems.codes[stem][stem]))
        samples, _ = soundfile.read(stems_dir / "train" / "two" / f"{stem}.wav")
        assert snr_db(samples, decoded[4000:] - samples) > 20


def test_parts_hold_the_weights_of_their_folders(
    stems_dir, kept_stems_dir, tiny_config, tmp_path
):
    """One of them without tracks for validation."""
    shutil.rmtree(stems_dir / "valid")
    folders, parts = [stems_dir, kept_stems_dir], tmp_path / "parts"
    write_stem_parts(folders, parts, part_bytes=10**6, weights=[3, 1])
    train = read_stem_parts(parts, "train", tiny_config)
    assert train.names == ["one", "two", "one", "two"]
    assert train.firsts == [0, 4000, 6500, 10_500]
    assert train.weights == [3, 3, 1, 1]
    assert train.data_sets == [str(folder) for folder in folders for _ in range(2)]
    assert read_stem_parts(parts, "valid", tiny_config).names == ["three"]


def test_what_cannot_be_packed_is_refused(stems_dir, kept_stems_dir, tmp_path):
    out = tmp_path / "out"
    for folders, weights, text in [
        ([kept_stems_dir, "gs://bucket/a"], None, "^gs://bucket/a: must be a folder"),
        ([kept_stems_dir, stems_dir], [3, 0], "`data_weight` must be"),
        ([tmp_path / "none"], None, "none: must be a folder"),
    ]:
        with pytest.raises(InputError, match=text):
            write_stem_parts(folders, out, part_bytes=1, weights=weights)
    shutil.rmtree(stems_dir / "valid")
    with pytest.raises(InputError, match="must hold tracks of valid, but has none"):
        write_stem_parts([stems_dir], out, part_bytes=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "song").touch()
    with pytest.raises(InputError, match="mine: must be a new or empty folder"):
        write_stem_parts([kept_stems_dir], tmp_path / "mine", part_bytes=1)
    assert not out.exists()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda path: path.write_bytes(b"no wav"), "vocals.wav: must be audio"),
        (
            lambda path: soundfile.write(path, np.zeros((9, 2)), 8000),
            r"vocals.wav: must have the rate, .* of accompaniment.wav, "
            r"\(8000, 2, 2500\). Received: \(8000, 2, 9\)",
        ),
    ],
)
def test_a_broken_stem_is_named_before_it_travels(stems_dir, tmp_path, spoil, text):
    spoil(stems_dir / "train" / "two" / "vocals.wav")
    with pytest.raises(InputError, match=text):
        write_stem_parts([stems_dir], tmp_path / "parts", part_bytes=10**6)
    assert not (tmp_path / "parts").exists()


def test_tracks_of_another_form_are_refused(stems_dir, kept_stems_dir, tmp_path):
    for change in ("rate", "stem"):
        other = shutil.copytree(stems_dir, tmp_path / change)
        for path in other.rglob("vocals.wav"):
            samples, rate_hz = soundfile.read(path)
            if change == "stem":
                for name in ("drums.wav", "bass.wav"):
                    path.with_name(name).write_bytes(path.read_bytes())
                path.with_name("accompaniment.wav").unlink()
            else:
                for stem in path.parent.glob("*.wav"):
                    soundfile.write(stem, samples, 2 * rate_hz, subtype="FLOAT")
        with pytest.raises(InputError) as error:
            write_stem_parts([kept_stems_dir, other], tmp_path / "a", part_bytes=1)
        assert str(error.value).startswith(f"{other}/train/one: must have the form")
        assert not (tmp_path / "a").exists()


def test_parts_of_another_network_are_refused(parts, tiny_config):
    for change, text in {
        ("channels", 1): "must have the network's 8000 Hz and 1 channels. Received: 8",
        ("sample_rate_hz", 44100): "must have the network's 44100 Hz and 2 channels",
        ("sources", ("drums", "vocals")): "but lacks drums",
    }.items():
        config = dataclasses.replace(tiny_config, **dict([change]))
        with pytest.raises(InputError, match=text):
            read_stem_parts(parts, "train", config)


def test_a_part_that_is_missing_or_broken_is_named(parts, tiny_config, tmp_path):
    for name in ("part-00.zip", "part-01.zip", "part-02.zip"):
        rest = shutil.copytree(parts, tmp_path / f"without {name}")
        (rest / name).unlink()
        with pytest.raises(InputError, match="must hold all 3 parts, .* Received: 2"):
            read_stem_parts(rest, "train", tiny_config)
    with pytest.raises(InputError, match="none: must hold parts"):
        read_stem_parts(tmp_path / "none", "train", tiny_config)
    broken = shutil.copytree(parts, tmp_path / "broken")
    whole = (broken / "part-01.zip").read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 3):
        (broken / "part-01.zip").write_bytes(whole[:size])
        with pytest.raises(InputError, match="part-01.zip: must be a part of stems"):
            read_stem_parts(broken, "train", tiny_config)
    damaged = whole.replace(b"fLaC", b"none")
    (broken / "part-01.zip").write_bytes(damaged)
    with pytest.raises(InputError, match="part-01.zip: .* must be audio"):
        read_stem_parts(broken, "train", tiny_config)
    for index in (b'{"part": 1, "parts": 3}', b"[]", b"no JSON"):
        with zipfile.ZipFile(broken / "part-01.zip", "w") as archive:
            archive.writestr("tracks.json", index)
        with pytest.raises(InputError, match="part-01.zip: must be a part of stems"):
            read_stem_parts(broken, "train", tiny_config)


def test_a_part_of_another_pack_is_named(parts, kept_stems_dir, tiny_config, tmp_path):
    both = shutil.copytree(parts, tmp_path / "both")
    write_stem_parts([kept_stems_dir] * 2, tmp_path / "other", part_bytes=1)
    shutil.copy(tmp_path / "other" / "part-02.zip", both)
    with pytest.raises(InputError, match="part-02.zip: must be packed together with"):
        read_stem_parts(both, "train", tiny_config)


def test_parts_are_no_larger_than_asked_for(stems_dir, tmp_path):
    command = ["examples.pretrained.pack_stems", "--data_dir", stems_dir]
    whole = run_here(*command, "--output_dir", tmp_path / "a", "--format", "flac")
    assert "a: 1 parts, 2 training tracks" in whole.stdout
    (part,) = (tmp_path / "a").iterdir()
    limit = part.stat().st_size * 3 // 4
    result = run_here(
        *(*command, "--output_dir", tmp_path / "b", "--format", "flac"),
        *("--part_mb", str(limit / 1e6)),
    )
    assert "b: 2 parts, 2 training tracks" in result.stdout
    for part in (tmp_path / "b").iterdir():
        assert part.stat().st_size < limit + 2000  # and the zip's own bytes
    check_refusal(run_here(*command, "--output_dir", tmp_path / "a"), 1, "a: must be a")


def test_more_than_a_hundred_parts_are_read_in_their_order(
    kept_stems_dir, tiny_config, tmp_path
):
    """The name of part-100.zip comes before that of part-11.zip."""
    folder = tmp_path / "parts"
    written = write_stem_parts([kept_stems_dir] * 35, folder, part_bytes=1)
    assert written[0] == 105
    names = read_stem_parts(folder, "train", tiny_config).names
    assert names == ["one", "two"] * 35
