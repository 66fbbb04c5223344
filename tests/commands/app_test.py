"""The commands as a user runs them: the way through, and what they say to bad input."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.command_line import ROOT, TRAIN, check_refusal, run
from waveunet_tf.configs.networks import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.configs.training import TrainingConfig

PREPARE = "waveunet_tf prepare"
SEPARATE = "waveunet_tf separate"
EVALUATE = "evaluate.run_musdb"
COMPARE = ["evaluate.run_summary", "evaluate.run_plots", "evaluate.run_report"]
SEAMS = "evaluate.run_seams"
ARTEFACTS = [
    "export.run_describe_file",
    "export.run_parity",
    "export.serving.run_client",
]
EXPORT = "export.run_export"
IMPORT = "waveunet_tf import"
SUMMARY = "waveunet_tf describe"
PACK = "waveunet_tf pack"


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


def test_ctrl_c_while_decoding_is_not_taken_for_a_broken_file(shared_data, tmp_path):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", *PREPARE.split(), "--dataset=folder"),
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


def test_from_a_song_to_scored_stems_and_an_artefact(tmp_path):
    """The demo's way, in small: every command's output is the next one's input."""
    from waveunet_tf.data.sigsep import import_sigsep

    example = pathlib.Path(import_sigsep("stempeg").example_stem_path())
    for subset in ("train", "test"):
        (tmp_path / "musdb18" / subset).mkdir(parents=True)
        shutil.copy(example, tmp_path / "musdb18" / subset)
    steps = [
        "waveunet_tf prepare --dataset musdb18 --source {0}/musdb18 "
        "--output {0}/prepared --sample_rate_hz 8000 --sources bass,drums,other,vocals",
        "waveunet_tf train --variant M6 --data_dir {0}/prepared --workdir {0}/work "
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


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("waveunet_tf separate", "--help"),
        ("examples.pretrained.average", "--help"),
        ("waveunet_tf separate", "--list_models"),
    ],
)
def test_who_reads_the_output_may_stop_reading(command, flag):
    """As `| head` does, be the output longer than its buffer or not."""
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        [sys.executable, "-m", *command.split(), flag],
        cwd=ROOT,
        env=buffered,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
