"""`separate` as a user runs it: formats, places, pipes, stops and bad input."""

import contextlib
import fcntl
import io
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest
import soundfile

import waveunet_tf
from tests.audio import planted_decoders
from tests.command_line import ROOT, check_refusal, run_here
from waveunet_tf.audio import decoder_child
from waveunet_tf.audio.decode import AudioReader

# They share a converted network.
pytestmark = pytest.mark.xdist_group("separate")

SEPARATE = "waveunet_tf separate"


@pytest.fixture(scope="module", autouse=True)
def converted(kept_checkpoint):
    """Converts the network here, so that children need no TensorFlow."""
    waveunet_tf.load(kept_checkpoint)


def test_stems_come_in_the_wished_format_and_selection(kept_checkpoint, tmp_path):
    songs = tmp_path / "songs"
    (songs / "deep").mkdir(parents=True)
    song = np.random.default_rng(0).normal(0, 0.1, (30_000, 2))
    soundfile.write(songs / "a.wav", song, 44100, subtype="PCM_24")
    soundfile.write(songs / "deep" / "b.flac", song[:, :1], 22050)
    (songs / "notes.txt").write_text("no song")
    flags = [f"--checkpoint={kept_checkpoint}", f"--output_dir={tmp_path}/stems"]

    assert run_here(SEPARATE, *flags, "--stems=vocals", songs).returncode == 0
    written = [path for path in (tmp_path / "stems").rglob("*") if path.is_file()]
    assert [path.name for path in written] == ["vocals.wav"]
    assert soundfile.info(written[0]).subtype == "PCM_24"

    two = [
        *flags,
        "--two_stems=vocals",
        "--bit_depth=32f",
        "--overwrite",
        "--recursive",
    ]
    assert run_here(SEPARATE, *two, songs).returncode == 0
    for name, expected in {"a": song, "b": song[:, :1]}.items():
        stems = [
            soundfile.read(tmp_path / "stems" / name / f"{stem}.wav", always_2d=True)[0]
            for stem in ("vocals", "no_vocals")
        ]
        np.testing.assert_allclose(sum(stems), expected, atol=1e-4)

    for suffix, kind in {"flac": "FLAC", "ogg": "OGG", "mp3": "MP3"}.items():
        result = run_here(SEPARATE, *flags, f"--format={suffix}", songs / "a.wav")
        assert result.returncode == 0, result.stderr
        info = soundfile.info(tmp_path / "stems" / "a" / f"vocals.{suffix}")
        assert (info.format, info.samplerate) == (kind, 44100)
    result = run_here(
        SEPARATE, *flags, "--format=flac", "--bit_depth=32f", "--overwrite", songs
    )
    check_refusal(result, 2, "`bit_depth` of flac must be 16 or 24")
    check_refusal(run_here(SEPARATE, *flags, "--stems=bass", songs), 2, "bass")
    check_refusal(run_here(SEPARATE, *flags, songs / "deep" / ".."), 1, "--overwrite")


def test_a_decoder_that_crashes_costs_its_song_only(
    kept_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(decoder_child, "_START", planted_decoders.START)
    for name in ("a", "b-segv", "c"):
        soundfile.write(tmp_path / f"{name}.mp3", np.full((8000, 1), 0.1), 8000)
    flags = [f"--checkpoint={kept_checkpoint}", f"--output_dir={tmp_path}/stems"]
    result = run_here(SEPARATE, *flags, tmp_path)
    check_refusal(result, 1, "b-segv.mp3: cannot be decoded: its decoder crashed (SIG")
    assert {path.name for path in (tmp_path / "stems").iterdir()} == {"a", "c"}


@pytest.mark.parametrize(
    "options",
    [
        *(["--clip=clamp"], ["--clip=rescale"]),
        *(
            pytest.param(["--clip=clamp", f"--format={name}"], marks=pytest.mark.slow)
            for name in ("flac", "m4a", "mp3", "opus")
        ),
    ],
)
def test_stems_that_do_not_fit_a_disk_leave_nothing_behind_and_end_the_run(
    kept_checkpoint, tmp_path, options
):
    disk = tmp_path / "disk"
    disk.mkdir()
    song = np.random.default_rng(0).normal(0, 0.1, (400_000, 2))
    for name in ("long", "short", "later"):
        soundfile.write(tmp_path / f"{name}.wav", song, 8000)
        song = song[:2000]
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        result = run_here(
            SEPARATE, f"--checkpoint={kept_checkpoint}", f"--output_dir={disk}/stems",
            "--stems=vocals", *options,
            *(tmp_path / f"{name}.wav" for name in ("short", "long", "later")),
        )  # fmt: skip
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        (line,) = [x for x in result.stderr.splitlines() if x.startswith("error: ")]
        assert str(disk) in line
        (stem,) = (path for path in disk.rglob("*") if path.is_file())
        assert stem.relative_to(disk / "stems").parts[0] == "short"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (15, 143)])
def test_a_stopped_separation_leaves_nothing_half_written(
    kept_checkpoint, tmp_path, number, code
):
    minute = np.random.default_rng(0).normal(0, 0.1, (60 * 44100, 2))
    with soundfile.SoundFile(tmp_path / "song.wav", "w", 44100, 2) as file:
        for _ in range(3):
            file.write(minute)
    process = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                *SEPARATE.split(),
                f"--checkpoint={kept_checkpoint}",
            ),
            *(f"--output_dir={tmp_path}/stems", tmp_path / "song.wav"),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "stems" / "song").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert not (tmp_path / "stems").exists()


def test_songs_come_from_patterns_and_go_where_the_template_says(
    kept_checkpoint, tmp_path
):
    for name in ("one", "two"):
        with soundfile.SoundFile(tmp_path / f"{name}.flac", "w", 8000, 1) as file:
            file.artist, file.title = "../AC/DC", f"Song {name}"
            file.write(np.zeros(24_000))
    flags = [f"--checkpoint={kept_checkpoint}", f"--output_dir={tmp_path}/stems"]
    template = "--output_template={artist}/{title} - {source}.{ext}"
    part = ["--start_seconds=1", "--duration_seconds=0.5", "--engine=tensorflow"]
    result = run_here(
        SEPARATE, *flags, template, *part, "--threads=1", f"{tmp_path}/*.flac"
    )
    assert result.returncode == 0, result.stderr
    written = sorted(map(pathlib.Path, result.stdout.splitlines()))
    assert [path.relative_to(tmp_path / "stems") for path in written] == [
        pathlib.Path(f".._AC_DC/Song {name} - {source}.wav")
        for name in ("one", "two")
        for source in ("accompaniment", "vocals")
    ]
    assert {soundfile.info(path).frames for path in written} == {4000}

    check_refusal(run_here(SEPARATE, *flags, f"{tmp_path}/*.mp3"), 1, "finds none")
    one = tmp_path / "one.flac"
    for wrong, texts in {
        "--output_template=../{source}.{ext}": ["below the output folder"],
        "--output_template={year}.wav": ["no fields but track"],
        "--duration_seconds=0": ["must be positive"],
        "--output_dir=-": ["takes one stem", "Received: 2 stems"],
        "--clip=none --bit_depth=16": ["but for float wav"],
    }.items():
        check_refusal(run_here(SEPARATE, *flags, *wrong.split(), one), 2, *texts)
    lossy = ["--format=mp3", "--bit_depth=16"]
    check_refusal(run_here(SEPARATE, *flags, *lossy, one), 2, "must be left out")
    same = "--output_template={track}.{ext}"
    check_refusal(run_here(SEPARATE, *flags, same, one), 1, "--output_template")
    pipe = [flags[0], "--output_dir=-", "--stems=no_vocals", tmp_path]
    check_refusal(run_here(SEPARATE, *pipe), 2, "takes one song. Received: 2 songs")


def test_a_song_is_never_overwritten_and_stems_are_no_songs(kept_checkpoint, tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("song.wav", "a/song.wav"):
        soundfile.write(tmp_path / name, np.zeros((2000, 2)), 8000)
    (tmp_path / "._song.wav").write_bytes(b"of a Mac")
    (tmp_path / "Live.wav").mkdir()
    flags = [f"--checkpoint={kept_checkpoint}", f"--output_dir={tmp_path}"]
    over = ["--output_template={track}.{ext}", "--stems=vocals", "--overwrite"]
    before = (tmp_path / "song.wav").read_bytes()
    result = run_here(SEPARATE, *flags, *over, tmp_path / "song.wav")
    check_refusal(result, 1, "files of their own", "is the song")
    assert (tmp_path / "song.wav").read_bytes() == before

    flags[1] += "/stems"
    template = "--output_template={folder}/{track}/{source}.{ext}"
    for again in ([], ["--overwrite"]):
        result = run_here(
            SEPARATE, *flags, template, "--recursive", *again, tmp_path, tmp_path
        )
        assert result.returncode == 0, result.stderr
        assert sorted(result.stdout.splitlines()) == [
            f"{tmp_path}/stems/{song}/{source}.wav"
            for song in ("a/song", "song")
            for source in ("accompaniment", "vocals")
        ]


def test_names_that_are_not_utf_8_are_as_good_as_any(kept_checkpoint, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    song = tmp_path / f"{name}.flac"
    soundfile.write(os.fsencode(song), np.zeros((2000, 2)), 8000, format="FLAC")
    flags = [f"--checkpoint={kept_checkpoint}", f"--output_dir={tmp_path}/stems"]
    for suffix in ("wav", "mp3"):
        result = run_here(SEPARATE, *flags, f"--format={suffix}", song)
        assert result.returncode == 0, result.stderr
        assert (tmp_path / "stems" / name / f"vocals.{suffix}").exists()


def test_a_wrong_length_in_a_header_does_not_stop_the_progress(
    kept_checkpoint, tmp_path
):
    """On a terminal, where the bar is drawn."""
    import pty

    path = tmp_path / "song.mp3"
    with soundfile.SoundFile(path, "w", 8000, 1, bitrate_mode="VARIABLE") as file:
        # Many bits first, from which FFmpeg guesses the rest.
        file.write(np.random.default_rng(0).normal(0, 0.3, 16_000))
        file.write(np.zeros(160_000))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Xing", b"Xxxx").replace(b"Info", b"Xxxx"))
    with AudioReader(path) as reader:
        frames = sum(len(block) for block in reader.blocks())
        assert reader.duration_seconds < frames / 8000 - 1
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))
    child = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                *SEPARATE.split(),
                f"--checkpoint={kept_checkpoint}",
            ),
            *(f"--output_dir={tmp_path}/stems", path),
        ],
        cwd=ROOT,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal tells its end
        while part := os.read(master, 4096):
            shown += part
    assert child.wait() == 0, shown
    assert b"100%" in shown


def test_a_song_goes_through_pipes(kept_checkpoint, tmp_path):
    song = np.random.default_rng(0).normal(0, 0.1, (9000, 2))
    soundfile.write(tmp_path / "song.wav", song, 8000, subtype="FLOAT")
    command = [
        sys.executable,
        "-m",
        *SEPARATE.split(),
        f"--checkpoint={kept_checkpoint}",
    ]
    child = subprocess.run(
        [*command, "--output_dir=-", "--stems=vocals", "-"],
        input=(tmp_path / "song.wav").read_bytes(),
        capture_output=True,
        check=True,
    )
    stem, rate_hz = soundfile.read(io.BytesIO(child.stdout))
    expected = waveunet_tf.load(kept_checkpoint).separate(song, 8000)["vocals"]
    assert rate_hz == 8000
    np.testing.assert_allclose(stem, expected, atol=1e-6)

    child = subprocess.run(
        [*command, "--output_dir=-", "--stems=vocals", "-"],
        input=b"no music",
        capture_output=True,
    )
    assert (child.returncode, child.stdout) == (1, b"")
    assert b"must be an audio file" in child.stderr


def test_separating_does_what_it_can_and_names_what_it_cannot(
    kept_checkpoint, tmp_path
):
    good, text, six = (tmp_path / name for name in ("good.flac", "text.wav", "six.wav"))
    song = np.random.default_rng(0).normal(0, 0.1, (1234, 2))
    soundfile.write(good, song, 11025)
    soundfile.write(six, np.zeros((100, 6)), 8000)
    text.write_text("no music")
    missing = tmp_path / "missing.wav"
    output = tmp_path / "stems"
    flags = [f"--checkpoint={kept_checkpoint}", f"--output_dir={output}"]

    result = run_here(SEPARATE, *flags, text, missing, good, six)
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert [str(path) in line for path, line in zip((text, missing, six), errors)] == [
        True
    ] * 3
    assert "Traceback" not in result.stderr
    written = sorted(path.relative_to(output) for path in output.rglob("*.wav"))
    assert [str(path) for path in written] == [
        "good/accompaniment.wav",
        "good/vocals.wav",
    ]
    for path in written:
        info = soundfile.info(output / path)
        assert (info.frames, info.samplerate, info.channels) == (1234, 11025, 2)

    twin = tmp_path / "twin" / "good.flac"
    twin.parent.mkdir()
    shutil.copy(good, twin)
    nothing = tmp_path / "*.nothing"
    result = run_here(SEPARATE, *flags, "--overwrite", nothing, good, twin)
    assert (result.returncode, len(result.stdout.splitlines())) == (1, 2)
    errors = result.stderr.splitlines()[-2:]  # at the end
    assert "finds none" in errors[0]
    assert all(text in errors[1] for text in (str(twin), str(good), "of their own"))

    before = (output / "good" / "vocals.wav").stat().st_mtime_ns
    check_refusal(run_here(SEPARATE, *flags, good), 1, "--overwrite")
    assert (output / "good" / "vocals.wav").stat().st_mtime_ns == before
    assert run_here(SEPARATE, *flags, "--overwrite", good).returncode == 0
    assert (output / "good" / "vocals.wav").stat().st_mtime_ns > before
