"""The Android app's heart, in Java, on the JVM; what it tests is in its own tests."""

import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.command_line import run_here

# In one process, so that the core is built once.
pytestmark = pytest.mark.xdist_group("java")

ROOT = pathlib.Path(__file__).parents[3]


def make(*arguments):
    # The environment is here already: whether it is up to date is not this test's.
    command = ["make", "-o", ".venv/installed", "test-android-core"]
    command += [f"BIN={pathlib.Path(sys.executable).parent}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def core_tests(tmp_path_factory):
    """What a finished `make test-android-core` said, and its folder of golden files.

    Python makes them here, where TensorFlow is imported already.
    """
    if not shutil.which("javac") or not shutil.which("make"):
        pytest.skip("needs make and a JDK")
    folder = tmp_path_factory.mktemp("core")
    golden = folder / "golden"
    sys.modules.pop(
        "waveunet_tf.export.android.golden", None
    )  # or else runpy would warn
    made = run_here("waveunet_tf.export.android.golden", golden)
    assert made.returncode == 0, made.stderr
    done = make(f"ANDROID_BUILD={folder}/build", f"ANDROID_GOLDEN={golden}")
    return done, golden


@pytest.mark.slow
def test_the_java_core_compiles_without_a_warning_and_passes_its_tests(core_tests):
    done, _ = core_tests
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^(\d+) passed, 0 failed$", done.stdout, re.MULTILINE)
    assert passed and int(passed[1]) > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoding, subtype, most",
    [
        ("PCM_16", "PCM_16", 0.5 / 2**15),
        ("PCM_24", "PCM_24", 0.5 / 2**23),
        ("FLOAT_32", "FLOAT", 0),
    ],
)
def test_libsndfile_reads_the_wav_files_that_java_writes(
    core_tests, encoding, subtype, most
):
    _, folder = core_tests
    wanted, _ = soundfile.read(folder / "written.wav")
    path = folder / f"written-{encoding}.wav"
    came, rate_hz = soundfile.read(path)
    assert soundfile.info(path).subtype == subtype
    assert rate_hz == 44100 and came.shape == wanted.shape == (5001, 2)
    assert np.abs(wanted).max() > 0.99
    np.testing.assert_allclose(came, wanted, rtol=0, atol=most + 1e-9)


def test_make_has_python_write_the_golden_files_where_there_are_none(tmp_path):
    if not shutil.which("make"):
        pytest.skip("needs make")
    told = make("-n", f"ANDROID_BUILD={tmp_path}").stdout.replace("\\\n", "")
    (line,) = [
        line
        for line in told.splitlines()
        if "waveunet_tf.export.android.golden" in line
    ]
    assert line.startswith(f"test -d {tmp_path}/golden || ")
    assert line.split()[-3:] == [
        "-m",
        "waveunet_tf.export.android.golden",
        f"{tmp_path}/golden",
    ]


def test_the_core_knows_nothing_of_android():
    sources = list((ROOT / "export/android/separator/src/main").rglob("*.java"))
    assert len(sources) > 10
    for path in sources:
        imports = re.findall(r"^import (?:static )?(\w+)", path.read_text(), re.M)
        assert set(imports) <= {"java"}, path


def test_without_a_jdk_make_says_so_in_one_line(tmp_path):
    if not shutil.which("make"):
        pytest.skip("needs make")
    (tmp_path / "javac").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "javac").chmod(0o755)
    done = subprocess.run(
        ["make", "-s", "-o", ".venv/installed", "test-android-core"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode
    error, make = done.stderr.splitlines()
    assert error.startswith("error: needs a JDK") and "Error 1" in make
    assert not done.stdout
