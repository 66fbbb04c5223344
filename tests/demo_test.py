import pathlib
import subprocess
import sys

import pytest

from examples import demo
from waveunet_tf.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_the_demo_beats_the_mixture_by_8_db_on_what_it_has_seen(tmp_path):
    """It exits with 1 if the vocals gain less."""
    result = subprocess.run(
        [sys.executable, "-m", "examples.demo", f"--output_dir={tmp_path}/demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert last.startswith("vocals: median SDR +")
    assert (tmp_path / "demo" / "artefacts" / "tflite_float32.tflite").exists()


def test_the_demo_touches_no_folder_but_its_own(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="must be a new folder or one of an earlier"):
        demo.new_folder(tmp_path)
    assert (tmp_path / "mine.txt").exists()
    made = demo.new_folder(tmp_path / "demo")
    (made / "old.txt").touch()
    assert not (demo.new_folder(made) / "old.txt").exists()


def test_a_step_that_fails_ends_the_demo_with_one_line(tmp_path):
    with pytest.raises(InputError, match="the command above left with 1"):
        demo.run_command("waveunet_tf.run_summary --checkpoint {}", tmp_path)
