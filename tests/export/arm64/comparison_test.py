import platform
import sys

import numpy as np
import pytest

from tests.export.small_exports import music
from waveunet_tf.errors import InputError
from waveunet_tf.export.arm64 import comparison, machine
from waveunet_tf.separation.separator import load_tflite_separator

# In one process, for the files that are converted once for all of these.
pytestmark = [
    pytest.mark.xdist_group("tflite"),
    pytest.mark.skipif(
        (sys.platform, platform.machine()) != ("linux", "x86_64"),
        reason="ARM is compared with x86-64 Linux",
    ),
]


def compared(kind, change):
    """A row of random stems and the same, changed."""
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 300, 2)).astype(np.float32)
    x86 = dict(zip(("vocals", "accompaniment"), noise))
    arm = {name: stem.copy() for name, stem in x86.items()}
    arm["vocals"][7, 1] += np.float32(change)
    return comparison.compare_stems("x.tflite", kind, "streaming", arm, x86)


@pytest.mark.parametrize(
    ("kind", "change", "is_kept"),
    [
        ("float32", 9e-6, True),
        ("float32", 1.1e-5, False),
        ("float32", np.nan, False),
        ("float16", 1.1e-5, False),
        ("int8", 0, True),
        ("int8", 1e-6, False),
        ("int8", np.nan, False),
        ("int16x8", 1e-6, False),
        ("dynamic", 1.9e-2, True),
        ("dynamic", 2.1e-2, False),
        ("mixed", 1.9e-2, True),
        ("mixed", np.nan, False),
    ],
)
def test_a_difference_beyond_its_bound_is_told_in_a_line(kind, change, is_kept):
    row = compared(kind, change)
    assert row.equal == pytest.approx(1 if change == 0 else 1 - 1 / 1200)
    assert np.isnan(change) or row.difference == pytest.approx(change, abs=1e-7)
    lines = comparison.bound_failures([row])
    assert len(lines) == (0 if is_kept else 1)
    assert all("x.tflite: ARM m" in line and "Received" in line for line in lines)


def test_every_line_of_the_table_has_its_bound():
    rows = [compared("int8", 0), compared("float32", 9e-6)]
    _, _, *lines = comparison.format_comparison(rows).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[4] for row in cells] == ["bit-equal", "1e-05"]
    assert [row[3] for row in cells] == ["0", "9.0e-06"]
    assert float(cells[0][5]) == 100


def test_samples_are_equal_only_bit_by_bit():
    """Minus zero is another float than zero, but differs by nothing."""
    zeros = {"vocals": np.zeros((10, 1), np.float32)}
    row = comparison.compare_stems(
        "x", "int8", "window", {"vocals": -zeros["vocals"]}, zeros
    )
    assert row.difference == 0 and row.equal == 0
    assert len(comparison.bound_failures([row])) == 1


def test_a_file_of_an_unknown_kind_is_refused(kept_files, tmp_path):
    whole = kept_files["int8"].read_bytes()
    path = tmp_path / "x.tflite"
    path.write_bytes(
        whole.replace(b'"quantization": "int8"', b'"quantization": "int4"')
    )
    with pytest.raises(InputError, match="x.tflite: `quantization` must .* int4"):
        comparison.read_artefact_config(path)


def test_a_comparable_file_tells_its_network(kept_files, tiny_config):
    for path in kept_files.values():
        assert comparison.read_artefact_config(path) == tiny_config


@pytest.mark.slow
def test_arm_gives_what_x86_gives(kept_files):
    arm = machine.find_machine(machine.default_folder())
    if not arm.folder.is_dir():
        pytest.skip(f"needs what run_arm64 unpacks, which is not at {arm.folder}")
    song = music(3000)
    for path in kept_files.values():
        row = comparison.compare_on_arm(path, song, arm, name=path.name)
        assert comparison.bound_failures([row]) == []
        stems = load_tflite_separator(path).runner().run(song)
        peak = max(np.abs(stem).max() for stem in stems.values())
        assert row.peak == pytest.approx(peak, abs=1e-5)
