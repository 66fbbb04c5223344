"""The commands as a user runs them: the way through, and what they say to bad input."""

import contextlib
import fcntl
import io
import json
import os
import pathlib
import re
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
from tests.commands import ROOT, TRAIN, check_refusal, run
from waveunet_tf.configs import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.decode import AudioReader
from waveunet_tf.training_config import TrainingConfig

PREPARE = "waveunet_tf.run_prepare"
SEPARATE = "waveunet_tf.run_separate"
EVALUATE = "evaluate.run_musdb"
COMPARE = ["evaluate.run_summary", "evaluate.run_plots", "evaluate.run_report"]
SEAMS = "evaluate.run_seams"
ARTEFACTS = ["export.run_describe", "export.run_parity", "export.serving.run_client"]
EXPORT = "export.run_export"
IMPORT = "waveunet_tf.run_import"
SUMMARY = "waveunet_tf.run_summary"
PACK = "waveunet_tf.run_pack"


@pytest.mark.parametrize(
    "command",
    [
        *(PREPARE, TRAIN, SEPARATE, EVALUATE, *COMPARE, SEAMS),
        *(EXPORT, *ARTEFACTS, IMPORT, SUMMARY, PACK),
    ],
)
def test_help_explains_the_command_and_exits_with_0(command):
    result = run(command, "--help")
    assert result.returncode == 0
    assert f"python -m {command}" in result.stdout
    configs = {
        TRAIN: [WaveUNetConfig(), SpectrogramUNetConfig(), TrainingConfig()],
        IMPORT: [WaveUNetConfig(), SpectrogramUNetConfig()],
        SUMMARY: [WaveUNetConfig(), SpectrogramUNetConfig()],
    }
    for config in configs.get(command, []):
        for name in config.to_dict():
            assert re.search(rf"--(\[no\])?{name}:.+[a-z]{{4}}", result.stdout)


def test_importing_the_package_does_not_import_tensorflow():
    code = (
        "import sys, waveunet_tf; waveunet_tf.VARIANTS['M4']; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode
        == 0
    )


@pytest.mark.parametrize(
    ("command", "arguments", "text"),
    [
        (TRAIN, ["--variant", "M9"], "variant"),
        (TRAIN, [], "--data_dir"),
        (TRAIN, ["--batch_size", "0"], "`batch_size` must be at least 1"),
        (TRAIN, ["--batch_size", "many"], "batch_size"),
        (TRAIN, ["--up_kernel_size", "4"], "`up_kernel_size` must be odd"),
        (TRAIN, ["--colour", "red"], "colour"),
        (TRAIN, ["stray"], "stray"),
        (PREPARE, ["--dataset", "tapes"], "dataset"),
        (SEPARATE, ["--checkpoint=a", "--output_dir=b"], "audio files"),
        (EVALUATE, ["--data_dir=a", "--output_dir=b"], "Exactly one of"),
        (EXPORT, ["--formats=onnx"], "--formats must be of tflite_float32"),
        (EXPORT, ["--formats="], "--formats must be of tflite_float32"),
        (TRAIN, ["--seed=5000000000"], "`seed` must be less than"),
        (TRAIN, ["--variant=U7", "--context"], "`context` is no field"),
    ],
)
def test_wrong_flags_exit_with_2(command, arguments, text):
    if command == TRAIN and arguments:
        arguments = ["--data_dir=a", "--workdir=b", *arguments]
    if command == PREPARE:
        arguments = ["--source=a", "--output=b", *arguments]
    if command == EXPORT:
        arguments = ["--checkpoint=a", "--output=b", *arguments]
    check_refusal(run(command, *arguments), 2, text)


def test_a_folder_without_tracks_is_refused(tmp_path):
    for command, *arguments in [
        (PREPARE, "--dataset=folder", f"--source={tmp_path}"),
        (TRAIN, f"--data_dir={tmp_path}", f"--workdir={tmp_path}/w"),
    ]:
        if command == PREPARE:
            arguments.append(f"--output={tmp_path}/out")
        check_refusal(run(command, *arguments), 1, str(tmp_path), "must hold tracks")
    assert list(tmp_path.iterdir()) == []


def test_stems_come_in_the_wished_format_and_selection(tiny_checkpoint, tmp_path):
    songs = tmp_path / "songs"
    (songs / "deep").mkdir(parents=True)
    song = np.random.default_rng(0).normal(0, 0.1, (30_000, 2))
    soundfile.write(songs / "a.wav", song, 44100, subtype="PCM_24")
    soundfile.write(songs / "deep" / "b.flac", song[:, :1], 22050)
    (songs / "notes.txt").write_text("no song")
    flags = [f"--checkpoint={tiny_checkpoint}", f"--output_dir={tmp_path}/stems"]

    assert run(SEPARATE, *flags, "--stems=vocals", songs).returncode == 0
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
    assert run(SEPARATE, *two, songs).returncode == 0
    for name, expected in {"a": song, "b": song[:, :1]}.items():
        stems = [
            soundfile.read(tmp_path / "stems" / name / f"{stem}.wav", always_2d=True)[0]
            for stem in ("vocals", "no_vocals")
        ]
        np.testing.assert_allclose(sum(stems), expected, atol=1e-4)

    for suffix, kind in {"flac": "FLAC", "ogg": "OGG", "mp3": "MP3"}.items():
        result = run(SEPARATE, *flags, f"--format={suffix}", songs / "a.wav")
        assert result.returncode == 0, result.stderr
        info = soundfile.info(tmp_path / "stems" / "a" / f"vocals.{suffix}")
        assert (info.format, info.samplerate) == (kind, 44100)
    result = run(
        SEPARATE, *flags, "--format=flac", "--bit_depth=32f", "--overwrite", songs
    )
    check_refusal(result, 2, "--bit_depth 32f is not of flac")
    check_refusal(run(SEPARATE, *flags, "--stems=bass", songs), 2, "bass")
    check_refusal(run(SEPARATE, *flags, songs / "deep" / ".."), 1, "--overwrite")


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
def test_stems_that_do_not_fit_a_disk_leave_nothing_behind(
    tiny_checkpoint, tmp_path, options
):
    disk = tmp_path / "disk"
    disk.mkdir()
    song = np.random.default_rng(0).normal(0, 0.1, (400_000, 2))
    for name in ("long", "short"):
        soundfile.write(tmp_path / f"{name}.wav", song, 8000)
        song = song[:2000]
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        result = run(
            SEPARATE, f"--checkpoint={tiny_checkpoint}", f"--output_dir={disk}/stems",
            "--stems=vocals", *options, tmp_path / "long.wav", tmp_path / "short.wav",
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
    tiny_checkpoint, tmp_path, number, code
):
    minute = np.random.default_rng(0).normal(0, 0.1, (60 * 44100, 2))
    with soundfile.SoundFile(tmp_path / "song.wav", "w", 44100, 2) as file:
        for _ in range(5):
            file.write(minute)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", SEPARATE, f"--checkpoint={tiny_checkpoint}"),
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


def test_ctrl_c_while_decoding_is_not_taken_for_a_broken_file(shared_data, tmp_path):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", PREPARE, "--dataset=folder"),
            *(f"--source={shared_data}/eir-cc0", f"--output={tmp_path}/out"),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "preparing" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(1)  # each song takes longer than that to decode and resample
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "truncated" not in errors
    assert errors.endswith("interrupted\n")
    assert not list(tmp_path.rglob(".part-*"))


def test_a_checkpoint_without_config_is_refused(tmp_path):
    for command, *arguments in [
        (SEPARATE, f"--output_dir={tmp_path}/out", "song.wav"),
        (EXPORT, f"--output={tmp_path}/out", "--formats=tflite_float32"),
    ]:
        result = run(command, f"--checkpoint={tmp_path}", *arguments)
        check_refusal(result, 1, str(tmp_path), "a folder with config.json")
    assert list(tmp_path.iterdir()) == []


def test_songs_come_from_patterns_and_go_where_the_template_says(
    tiny_checkpoint, tmp_path
):
    for name in ("one", "two"):
        with soundfile.SoundFile(tmp_path / f"{name}.flac", "w", 8000, 1) as file:
            file.artist, file.title = "../AC/DC", f"Song {name}"
            file.write(np.zeros(24_000))
    flags = [f"--checkpoint={tiny_checkpoint}", f"--output_dir={tmp_path}/stems"]
    template = "--output_template={artist}/{title} - {source}.{ext}"
    part = ["--start_seconds=1", "--duration_seconds=0.5", "--engine=tensorflow"]
    result = run(SEPARATE, *flags, template, *part, "--threads=1", f"{tmp_path}/*.flac")
    assert result.returncode == 0, result.stderr
    written = sorted(map(pathlib.Path, result.stdout.splitlines()))
    assert [path.relative_to(tmp_path / "stems") for path in written] == [
        pathlib.Path(f".._AC_DC/Song {name} - {source}.wav")
        for name in ("one", "two")
        for source in ("accompaniment", "vocals")
    ]
    assert {soundfile.info(path).frames for path in written} == {4000}

    check_refusal(run(SEPARATE, *flags, f"{tmp_path}/*.mp3"), 1, "finds none")
    one = tmp_path / "one.flac"
    for wrong, texts in {
        "--output_template=../{source}.{ext}": ["below the output folder"],
        "--output_template={year}.wav": ["no fields but track"],
        "--duration_seconds=0": ["must be positive"],
        "--output_dir=-": ["takes one stem", "Received: 2 stems"],
        "--clip=none --bit_depth=16": ["of float wav only"],
    }.items():
        check_refusal(run(SEPARATE, *flags, *wrong.split(), one), 2, *texts)
    lossy = ["--format=mp3", "--bit_depth=16"]
    check_refusal(run(SEPARATE, *flags, *lossy, one), 2, "not of mp3")
    same = "--output_template={track}.{ext}"
    check_refusal(run(SEPARATE, *flags, same, one), 1, "--output_template")
    pipe = [flags[0], "--output_dir=-", "--stems=no_vocals", tmp_path]
    check_refusal(run(SEPARATE, *pipe), 2, "takes one song. Received: 2 songs")


def test_a_song_is_never_overwritten_and_stems_are_no_songs(tiny_checkpoint, tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("song.wav", "a/song.wav"):
        soundfile.write(tmp_path / name, np.zeros((2000, 2)), 8000)
    (tmp_path / "._song.wav").write_bytes(b"of a Mac")
    (tmp_path / "Live.wav").mkdir()
    flags = [f"--checkpoint={tiny_checkpoint}", f"--output_dir={tmp_path}"]
    over = ["--output_template={track}.{ext}", "--stems=vocals", "--overwrite"]
    before = (tmp_path / "song.wav").read_bytes()
    result = run(SEPARATE, *flags, *over, tmp_path / "song.wav")
    check_refusal(result, 1, "files of their own", "is the song")
    assert (tmp_path / "song.wav").read_bytes() == before

    flags[1] += "/stems"
    template = "--output_template={folder}/{track}/{source}.{ext}"
    for again in ([], ["--overwrite"]):
        result = run(
            SEPARATE, *flags, template, "--recursive", *again, tmp_path, tmp_path
        )
        assert result.returncode == 0, result.stderr
        assert sorted(result.stdout.splitlines()) == [
            f"{tmp_path}/stems/{song}/{source}.wav"
            for song in ("a/song", "song")
            for source in ("accompaniment", "vocals")
        ]


def test_names_that_are_not_utf_8_are_as_good_as_any(tiny_checkpoint, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    song = tmp_path / f"{name}.flac"
    soundfile.write(os.fsencode(song), np.zeros((2000, 2)), 8000, format="FLAC")
    flags = [f"--checkpoint={tiny_checkpoint}", f"--output_dir={tmp_path}/stems"]
    for suffix in ("wav", "mp3"):
        result = run(SEPARATE, *flags, f"--format={suffix}", song)
        assert result.returncode == 0, result.stderr
        assert (tmp_path / "stems" / name / f"vocals.{suffix}").exists()


def test_a_wrong_length_in_a_header_does_not_stop_the_progress(
    tiny_checkpoint, tmp_path
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
            *(sys.executable, "-m", SEPARATE, f"--checkpoint={tiny_checkpoint}"),
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


def test_a_song_goes_through_pipes(tiny_checkpoint, tmp_path):
    song = np.random.default_rng(0).normal(0, 0.1, (9000, 2))
    soundfile.write(tmp_path / "song.wav", song, 8000, subtype="FLOAT")
    command = [sys.executable, "-m", SEPARATE, f"--checkpoint={tiny_checkpoint}"]
    child = subprocess.run(
        [*command, "--output_dir=-", "--stems=vocals", "-"],
        input=(tmp_path / "song.wav").read_bytes(),
        capture_output=True,
        check=True,
    )
    stem, rate_hz = soundfile.read(io.BytesIO(child.stdout))
    expected = waveunet_tf.load(tiny_checkpoint).separate(song, 8000)["vocals"]
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
    tiny_checkpoint, tmp_path
):
    good, text, six = (tmp_path / name for name in ("good.flac", "text.wav", "six.wav"))
    song = np.random.default_rng(0).normal(0, 0.1, (1234, 2))
    soundfile.write(good, song, 11025)
    soundfile.write(six, np.zeros((100, 6)), 8000)
    text.write_text("no music")
    missing = tmp_path / "missing.wav"
    output = tmp_path / "stems"
    flags = [f"--checkpoint={tiny_checkpoint}", f"--output_dir={output}"]

    result = run(SEPARATE, *flags, text, missing, good, six)
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
    result = run(SEPARATE, *flags, "--overwrite", nothing, good, twin)
    assert (result.returncode, len(result.stdout.splitlines())) == (1, 2)
    errors = result.stderr.splitlines()[-2:]  # at the end
    assert "finds none" in errors[0]
    assert all(text in errors[1] for text in (str(twin), str(good), "of their own"))

    before = (output / "good" / "vocals.wav").stat().st_mtime_ns
    check_refusal(run(SEPARATE, *flags, good), 1, "--overwrite")
    assert (output / "good" / "vocals.wav").stat().st_mtime_ns == before
    assert run(SEPARATE, *flags, "--overwrite", good).returncode == 0
    assert (output / "good" / "vocals.wav").stat().st_mtime_ns > before


def test_from_a_song_to_scored_stems_and_an_artefact(tmp_path):
    """The demo's way, in small: every command's output is the next one's input."""
    from waveunet_tf.sigsep import import_sigsep

    example = pathlib.Path(import_sigsep("stempeg").example_stem_path())
    for subset in ("train", "test"):
        (tmp_path / "musdb18" / subset).mkdir(parents=True)
        shutil.copy(example, tmp_path / "musdb18" / subset)
    steps = [
        "waveunet_tf.run_prepare --dataset musdb18 --source {0}/musdb18 "
        "--output {0}/prepared --sample_rate_hz 8000 --sources bass,drums,other,vocals",
        "waveunet_tf.run_train --variant M6 --data_dir {0}/prepared --workdir {0}/work "
        "--num_levels 3 --base_filters 4 --down_kernel_size 5 --up_kernel_size 3 "
        "--output_kernel_size 1 --upsampling learned --output_type direct "
        "--output_activation linear --context --channels 1 --sample_rate_hz 8000 "
        "--sources bass,drums,other,vocals --output_frames 512 --batch_size 2 "
        "--steps_per_epoch 2 --max_epochs 1 --seed 3",
        "evaluate.run_musdb --data_dir {0}/musdb18 --checkpoint {0}/work/best "
        "--output_dir {0}/scores",
        "export.run_export --checkpoint {0}/work/best --output {0}/artefacts "
        "--formats tflite_float32",
    ]
    for step in steps:
        result = run(*step.format(tmp_path).split())
        assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "work" / "best" / "config.json").read_text())
    assert config["network"] == {
        "architecture": "wave_u_net",
        "num_levels": 3,
        "base_filters": 4,
        "down_kernel_size": 5,
        "up_kernel_size": 3,
        "output_kernel_size": 1,
        "upsampling": "learned",
        "output_type": "direct",
        "output_activation": "linear",
        "context": True,
        "channels": 1,
        "sources": ["bass", "drums", "other", "vocals"],
        "sample_rate_hz": 8000,
        "output_frames": 512,
    }
    (scores,) = (tmp_path / "scores" / "test").glob("*.json")
    targets = json.loads(scores.read_text())["targets"]
    assert sorted(target["name"] for target in targets) == config["network"]["sources"]
    assert (tmp_path / "artefacts" / "tflite_float32.tflite").stat().st_size > 10_000
    history = (tmp_path / "work" / "history.jsonl").read_bytes()
    again = steps[1].format(tmp_path).split()
    assert run(*again).returncode == 0  # nothing is left to do
    assert (tmp_path / "work" / "history.jsonl").read_bytes() == history
    result = run(*again, "--seed", "4")
    check_refusal(result, 1, "another training", "seed (3, now 4)")


def test_an_imported_checkpoint_is_summarized_and_drawn(shared_data, tmp_path):
    prefix = shared_data / "waveunet-reference" / "M5" / "M5-1234"
    output = tmp_path / "m5"
    result = run(
        IMPORT, f"--tf1_checkpoint={prefix}", "--variant=M5-HighSR",
        f"--output={output}", "--with_optimizer",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "--sample_rate_hz=44100" in result.stdout
    guessed = run(IMPORT, f"--tf1_checkpoint={prefix}", f"--output={tmp_path}/guessed")
    assert guessed.returncode == 0
    assert "its shapes are those of M5-HighSR too" in guessed.stderr
    again = run(IMPORT, f"--tf1_checkpoint={prefix}", f"--output={output}")
    check_refusal(again, 1, str(output), "--overwrite")

    result = run(SUMMARY, f"--checkpoint={output}", f"--plot={tmp_path}/m5.png")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^down_0 .* 6 +186 ", result.stdout, re.MULTILINE)
    assert (tmp_path / "m5.png").exists()
    again = run(SUMMARY, f"--checkpoint={output}", f"--plot={tmp_path}/m5.png")
    check_refusal(again, 1, "m5.png", "--overwrite")
    other = run(SUMMARY, f"--checkpoint={output}", f"--plot={tmp_path}/m5.txt")
    check_refusal(other, 2, "must end in .png, .svg or .pdf")
    both = run(SUMMARY, f"--checkpoint={output}", "--num_levels=3")
    check_refusal(both, 2, "--checkpoint has its own config")
