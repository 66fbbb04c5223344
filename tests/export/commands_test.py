"""`export`, `parity`, `describe-file`, `separate --tflite`, as a user runs them."""

import json
import re

import numpy as np
import pytest
import soundfile

from tests.command_line import check_refusal, run, run_here
from waveunet_tf.export import checked_exports, parity
from waveunet_tf.networks import shapes

EXPORT, PARITY, DESCRIBE, SEPARATE = (
    "waveunet_tf export",
    "waveunet_tf parity",
    "waveunet_tf describe-file",
    "waveunet_tf separate",
)


def test_files_are_exported_measured_described_and_used(
    tiny_checkpoint, tiny_config, tmp_path, monkeypatch
):
    # A process for each measurement is parity_test's.
    monkeypatch.setattr(parity, "cost_in_a_process", parity.cost)
    songs = tmp_path / "data" / "test" / "song"
    songs.mkdir(parents=True)
    generator = np.random.default_rng(2)
    stems = generator.laplace(0, 0.05, (2, 24_000, 2))
    for name, stem in zip(("accompaniment", "vocals"), stems):
        soundfile.write(songs / f"{name}.wav", stem, 8000, subtype="FLOAT")
    soundfile.write(songs / "mixture.wav", stems.sum(axis=0), 8000, subtype="FLOAT")
    output = tmp_path / "artefacts"
    flags = [f"--checkpoint={tiny_checkpoint}", f"--output={output}"]
    formats = "--formats=tflite_float32,tflite_mixed"
    data = [f"--data_dir={tmp_path}/data", f"--calibration_dir={tmp_path}/data"]
    result = run_here(EXPORT, *flags, formats, *data, "--chunk_frames=1024")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in output.iterdir()) == [
        "parity.json",
        "parity.md",
        "tflite_float32.tflite",
        "tflite_mixed.tflite",
    ]
    table = json.loads((output / "parity.json").read_text())
    assert table["songs"] == ["test/song"]
    rows = {row["kind"]: row for row in table["artefacts"]}
    assert rows["float32"]["snr_db"] > 100 > rows["mixed"]["snr_db"] > 15
    assert sorted(rows["float32"]["sdr_change_db"]) == ["accompaniment", "vocals"]
    assert "| tflite_mixed.tflite " in (output / "parity.md").read_text()
    assert (output / "parity.md").read_text().strip() == result.stdout.strip()

    again = run_here(EXPORT, *flags, formats, *data)
    check_refusal(again, 1, "tflite_float32.tflite", "--overwrite")
    (output / "tflite_mixed.tflite").unlink()
    artifacts = [f"--checkpoint={tiny_checkpoint}", f"--artifacts={output}"]
    (songs / "vocals.wav").unlink()  # a source alone is not scored
    result = run_here(PARITY, *artifacts, f"--data_dir={tmp_path}/data")
    assert result.returncode == 0, result.stderr
    (row,) = json.loads((output / "parity.json").read_text())["artefacts"]
    assert row["snr_db"] == pytest.approx(rows["float32"]["snr_db"])

    file = output / "tflite_float32.tflite"
    result = run_here(DESCRIBE, file, "--nogpu")
    assert result.returncode == 0, result.stderr
    latency = shapes.stream_plan(tiny_config).latency_frames
    for text in (
        f'"latency_frames": {latency}',
        "CONV_2D",
        "multiply-adds",
        "1×1×1024×2",
    ):
        assert text in result.stdout
    for network, name in [
        ([f"--tflite={file}"], "a"),
        ([flags[0], "--engine=tensorflow"], "b"),
    ]:
        result = run_here(
            SEPARATE, *network, f"--output_dir={tmp_path}/{name}", songs / "mixture.wav"
        )
        assert result.returncode == 0, result.stderr
    for source in ("vocals", "accompaniment"):
        one, other = (
            soundfile.read(tmp_path / name / "mixture" / f"{source}.wav")[0]
            for name in "ab"
        )
        assert np.abs(one).max() > 0.01
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_bad_input_leaves_one_line_and_no_file(tiny_checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.tflite").write_bytes(b"no flatbuffer")
    output = tmp_path / "out"
    flags = [f"--checkpoint={tiny_checkpoint}", f"--output={output}"]
    float32, int8 = "--formats=tflite_float32", "--formats=tflite_int8"
    empty = f"--calibration_dir={tmp_path}/empty"
    separate = ["--output_dir=out", "song.wav"]
    tflite = f"--tflite={tmp_path}/x.tflite"
    for command, arguments, code, text in [
        (EXPORT, [*flags, int8], 2, "tflite_int8 needs --calibration_dir"),
        (EXPORT, [*flags, int8, empty], 1, "empty: must be a folder with audio files"),
        (EXPORT, [*flags, float32, "--chunk_frames=12"], 1, "multiple of 2^num_levels"),
        (PARITY, [flags[0], f"--artifacts={tmp_path}/empty"], 1, "empty: must be a"),
        (DESCRIBE, [tmp_path / "x.tflite"], 1, "x.tflite: must be a TFLite file"),
        (SEPARATE, [tflite, *separate], 1, "x.tflite: must be a TFLite file"),
        (SEPARATE, [tflite, flags[0], *separate], 2, "checkpoint"),
    ]:
        check_refusal(run_here(command, *arguments), code, text)
    assert not output.exists()


def test_a_chunk_that_the_memory_cannot_hold_is_told_with_its_flags(
    tiny_checkpoint, tmp_path, monkeypatch
):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(checked_exports, "write_tflite_files", exhausted)
    flags = [f"--checkpoint={tiny_checkpoint}", f"--output={tmp_path}/out"]
    result = run_here(EXPORT, *flags, "--formats=tflite_float32")
    check_refusal(
        result, 1, "more memory than there is; a step of fewer --chunk_frames"
    )


@pytest.mark.parametrize("command", [EXPORT, PARITY, DESCRIBE])
def test_a_command_starts_as_a_user_starts_it(command):
    result = run(command, "--help")
    assert result.returncode == 0
    assert command.replace("waveunet_tf", "waveunet") in result.stdout


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--formats=tflite_int4"], "--formats must be of .* Received: tflite_int4"),
        (["--formats="], "Received: none"),
        (["--formats=tflite_mixed"], "tflite_mixed needs --calibration_dir"),
        (["--formats=saved_model", "--model_name=a/b"], "--model_name .* a/b"),
        (["--formats=saved_model", "--chunk_frames=0"], "chunk_frames"),
        (["--formats=tflite_float32", "--mode=both"], "mode"),
    ],
)
def test_bad_usage_of_export_is_told_before_anything_is_read(tmp_path, flags, text):
    result = run_here(EXPORT, "--checkpoint=none", f"--output={tmp_path}/out", *flags)
    assert result.returncode == 2
    assert re.search(rf"^error: .*{text}", result.stderr, re.MULTILINE)
    assert not (tmp_path / "out").exists()


def test_files_that_exist_stay_before_anything_is_read(tmp_path):
    version = tmp_path / "waveunet" / "1"
    version.mkdir(parents=True)
    (version / "mine").touch()
    (tmp_path / "tflite_int8.tflite").touch()
    flags = ["--checkpoint=none", f"--output={tmp_path}"]
    result = run_here(EXPORT, *flags, "--formats=saved_model")
    check_refusal(result, 1, f"{version}: must be a new or empty folder")
    int8 = ["--formats=tflite_int8", "--calibration_dir=none"]
    result = run_here(EXPORT, *flags, *int8)
    check_refusal(result, 1, "tflite_int8.tflite: must be a new file")


def test_a_format_named_twice_is_written_once(tmp_path):
    """It would else be refused, as a file that exists."""
    result = run_here(
        EXPORT,
        "--checkpoint=none",
        f"--output={tmp_path}/out",
        "--formats=tflite_float32,tflite_float32",
    )
    check_refusal(result, 1, "none: must be a checkpoint")
