"""From songs to stems, scores and artefacts, each command after the other."""

import json
import pathlib
import re
import shutil

import pytest

from tests.command_line import check_refusal, run, run_here

IMPORT = "waveunet_tf import"
DESCRIBE = "waveunet_tf describe"


@pytest.mark.slow
def test_from_a_song_to_scored_stems_and_an_artefact(tmp_path):
    """The demo's way, in small: every command's output is the next one's input."""
    from waveunet_tf.data.sigsep import import_sigsep

    example = pathlib.Path(import_sigsep("stempeg").example_stem_path())
    for subset in ("train", "test"):
        (tmp_path / "musdb18" / subset).mkdir(parents=True)
        shutil.copy(example, tmp_path / "musdb18" / subset)
    steps = [
        "waveunet_tf prepare --dataset musdb18 --source {0}/musdb18 "
        "--output {0}/prepared --sample_rate_hz 8000 --sources bass,drums,vocals",
        "waveunet_tf train --variant M6 --data_dir {0}/prepared --workdir {0}/work "
        "--num_levels 3 --base_filters 4 --down_kernel_size 5 --up_kernel_size 3 "
        "--output_kernel_size 1 --upsampling learned --output_type direct "
        "--output_activation linear --context --channels 1 --sample_rate_hz 8000 "
        "--sources bass,drums,vocals --output_frames 512 --batch_size 2 "
        "--steps_per_epoch 2 --max_epochs 1 --nofine_tuning --seed 3",
        "waveunet_tf score --data_dir {0}/musdb18 --checkpoint {0}/work/best "
        "--output_dir {0}/scores",
        "waveunet_tf export --checkpoint {0}/work/best --output {0}/artefacts "
        "--formats tflite_float32",
    ]
    for step in steps:
        # Each command's own tests start it as a program.
        result = run_here(*step.format(tmp_path).split())
        assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "work" / "best" / "config.json").read_text())
    expected = {
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
        "sources": ["bass", "drums", "vocals"],
        "sample_rate_hz": 8000,
        "output_frames": 512,
    }
    assert {name: config["network"][name] for name in expected} == expected
    (scores,) = (tmp_path / "scores" / "test").glob("*.json")
    targets = json.loads(scores.read_text())["targets"]
    assert sorted(target["name"] for target in targets) == config["network"]["sources"]
    assert (tmp_path / "artefacts" / "tflite_float32.tflite").stat().st_size > 10_000
    history = (tmp_path / "work" / "history.jsonl").read_bytes()
    again = steps[1].format(tmp_path).split()
    assert run_here(*again).returncode == 0  # nothing is left to do
    assert (tmp_path / "work" / "history.jsonl").read_bytes() == history
    result = run_here(*again, "--seed", "4")
    check_refusal(result, 1, "another training", "seed (3, now 4)")


@pytest.mark.slow
def test_an_imported_checkpoint_is_described_and_drawn(shared_data, tmp_path):
    prefix = shared_data / "waveunet-reference" / "M5" / "M5-1234"
    output = tmp_path / "m5"
    result = run(
        IMPORT, f"--tf1_checkpoint={prefix}", "--variant=M5-HighSR",
        f"--output={output}", "--with_optimizer",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "--sample_rate_hz=44100" in result.stdout
    guessed = run_here(
        IMPORT, f"--tf1_checkpoint={prefix}", f"--output={tmp_path}/guessed"
    )
    assert guessed.returncode == 0
    assert "its shapes are those of M5-HighSR too" in guessed.stderr
    again = run_here(IMPORT, f"--tf1_checkpoint={prefix}", f"--output={output}")
    check_refusal(again, 1, str(output), "--overwrite")

    result = run_here(DESCRIBE, f"--checkpoint={output}", f"--plot={tmp_path}/m5.png")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^down_0 .* 6 +186 ", result.stdout, re.MULTILINE)
    assert (tmp_path / "m5.png").exists()
    # Started as a program; this much needs no TensorFlow.
    again = run(DESCRIBE, f"--checkpoint={output}", f"--plot={tmp_path}/m5.png")
    check_refusal(again, 1, "m5.png", "--overwrite")
