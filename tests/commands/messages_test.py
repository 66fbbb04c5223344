"""What every command says to bad input: one line that names what is wrong with what.

Each line names the file or the argument, the rule and what was received. Bad input
exits with 1, bad usage with 2.
"""

import json

import numpy as np
import pytest
import soundfile

from tests.command_line import check_refusal, run_here
from waveunet_tf.__main__ import COMMANDS as SUBCOMMANDS
from waveunet_tf.configs.networks import VARIANTS

SEPARATE = "waveunet_tf separate"
PREPARE = "waveunet_tf prepare"
DATA = "waveunet_tf data"
TRAIN = "waveunet_tf train"
IMPORT = "waveunet_tf import"
DESCRIBE = "waveunet_tf describe"
PACK = "waveunet_tf pack"
MODELS = "waveunet_tf models"
MUSDB = "waveunet_tf score"
SUMMARY = "waveunet_tf statistics"
PLOTS = "waveunet_tf plots"
REPORT = "waveunet_tf report"
SEAMS = "waveunet_tf seams"
EXPORT = "waveunet_tf export"
DESCRIBE_FILE = "waveunet_tf describe-file"
PARITY = "waveunet_tf parity"
ARM64 = "waveunet_tf arm64"
CLIENT = "waveunet_tf client"
STAND_IN = "waveunet_tf stand-in"
TEACH = "waveunet_tf teach"
CHECK_GPU = "waveunet_tf check-gpu"
EXPORT_WEB = "waveunet_tf export-web"
SERVE_WEB = "waveunet_tf serve-web"

# Flags that are right, so that the one under test is the first that is wrong.
BEFORE = {
    PREPARE: "--source=a --output=b",
    TRAIN: "--data_dir=a --workdir=b",
    IMPORT: "--tf1_checkpoint=a --output=b",
    PACK: "--checkpoint=a --name=b --description=c",
    EXPORT: "--checkpoint=a --output=b",
    CLIENT: "--output_dir=o song.wav",
}

# Command, its flags and arguments ({bad}: a folder of bad files), texts of the line.
USAGE = [
    (SEPARATE, "", ["needs audio files, folders, patterns, or -"]),
    (SEPARATE, "--checkpoint=a --output_dir=b", ["needs audio files"]),
    (SEPARATE, "--start_seconds=1:00 a", ["--start_seconds=1:00: must be a number"]),
    (SEPARATE, "--threads=two a", ["--threads=two: must be an integer"]),
    (DATA, "", ["error: needs --data_dir (see"]),
    (MUSDB, "--data_dir=a --output_dir=b", ["needs exactly one of --checkpoint, --tf"]),
    (
        SEPARATE,
        "--runner=a --scheduler=b c",
        ["takes at most one of --scheduler, --runner"],
    ),
    (SEPARATE, "--engine=torch a", ["--engine=torch", "<auto|tensorflow|litert>"]),
    (SEPARATE, "--device=tpu a", ["--device must be cpu, gpu:0", "Received: tpu"]),
    (SEPARATE, "--engine=litert --device=gpu:0 a", ["--engine litert is for the CPU"]),
    (SEPARATE, "--tflite=a --engine=tensorflow b", ["--tflite is for LiteRT"]),
    (SEPARATE, "--tflite=a --phase_iterations=3 b", ["--tflite is for LiteRT"]),
    (SEPARATE, "--tflite=a --checkpoint=b c", ["tflite", "checkpoint"]),
    (SEPARATE, "--threads=0 a", ["--threads=0", "positive"]),
    (SEPARATE, "--threads=many a", ["--threads=many"]),
    (SEPARATE, "--format=aiff a", ["--format=aiff", "wav|flac|ogg"]),
    (SEPARATE, "--bit_depth=8 a", ["--bit_depth=8", "<16|24|32f>"]),
    (SEPARATE, "--bit_depth=16 --format=mp3 a", ["`bit_depth` of mp3", "Received: 16"]),
    (SEPARATE, "--bit_depth=32f --format=flac a", ["`bit_depth` of flac", "16 or 24"]),
    (SEPARATE, "--clip=soft a", ["--clip=soft", "<rescale|clamp|none>"]),
    (SEPARATE, "--clip=none --bit_depth=16 a", ["`clip` must be", "Received: none"]),
    (SEPARATE, "--start_seconds=-1 a", ["--start_seconds=-1"]),
    (SEPARATE, "--start_seconds=nan a", ["--start_seconds must be", "Received: nan"]),
    (SEPARATE, "--duration_seconds=0 a", ["`duration_seconds`", "Received: 0"]),
    (SEPARATE, "--duration_seconds=inf a", ["`duration_seconds`", "Received: inf"]),
    (SEPARATE, "--output_template=../x a", ["`output_template`", "Received: ../x"]),
    (SEPARATE, "--output_template={x}.wav a", ["no fields but", "Received: {x}.wav"]),
    (SEPARATE, "--output_dir= a", ["`output_dir` must be a folder's name"]),
    (SEPARATE, "--output_dir=- a", ["`output_dir=-` takes one stem", "2 stems"]),
    (SEPARATE, "--stems=bass a", ["`stems` must be of", "Received: bass"]),
    (SEPARATE, "--stems= a", ["`stems` must be of", "Received: none"]),
    (SEPARATE, "--two_stems=no_vocals a", ["Received: no_vocals"]),
    (SEPARATE, "--stems=vocals --two_stems=vocals a", ["`stems` and `two_stems`"]),
    (PREPARE, "--dataset=tapes", ["--dataset=tapes", "musdb18"]),
    (PREPARE, "--dataset=folder --workers=0", ["--workers=0"]),
    (DATA, "", ["--data_dir"]),
    (TRAIN, "--variant=M9", ["--variant=M9", "M1|M2|M3"]),
    (TRAIN, "--batch_size=0", ["`batch_size` must be at least 1", "Received: 0"]),
    (TRAIN, "--batch_size=many", ["--batch_size=many"]),
    (TRAIN, "--up_kernel_size=4", ["`up_kernel_size` must be odd", "Received: 4"]),
    (TRAIN, "--seed=5000000000", ["`seed` must be less than", "5000000000"]),
    (TRAIN, "--variant=U7 --context", ["`context` is no field of this network"]),
    (TRAIN, "--sources=a,a", ["`sources` must be", "Received: a, a"]),
    (TRAIN, "--sources=a,b/c", ["`sources` must be", "Received: 'b/c'"]),
    (TRAIN, "--output_type=both", ["--output_type=both", "<direct|difference>"]),
    (IMPORT, "--variant=M9", ["--variant=M9"]),
    (DESCRIBE, "--num_levels=0", ["`num_levels` must be at least 1", "Received: 0"]),
    (DESCRIBE, "--plot=x.txt", ["--plot must end in .png", "Received: x.txt"]),
    (DESCRIBE, "--checkpoint=a --num_levels=3", ["--checkpoint has its own config"]),
    (PACK, "--bits=8", ["bits"]),
    (SUMMARY, "", ["needs"]),
    (PLOTS, "--output_dir=a", ["needs"]),
    (REPORT, "a=b", ["--output_dir"]),
    (SEAMS, "a=b", ["--output_dir"]),
    (EXPORT, "--formats=onnx", ["--formats must be of tflite_float32", "onnx"]),
    (EXPORT, "--formats=", ["--formats must be of tflite_float32", "Received"]),
    (DESCRIBE_FILE, "", ["needs"]),
    (PARITY, "", ["--artifacts"]),
    (ARM64, "", ["--artifacts"]),
    (CLIENT, "--server=localhost", ["--server must be HOST:PORT", "localhost"]),
    (CLIENT, "--server=http://a:1", ["--server must be HOST:PORT", "http://a:1"]),
    (CLIENT, "--server=a:1 --rest --stream", ["--stream is for gRPC"]),
    (CLIENT, "--server=a:1 --version=1 --label=b", ["exclude each other"]),
    (CLIENT, "--server=a:1 --duration_seconds=-1", ["`duration_seconds`", "-1"]),
    (CLIENT, "--server=a:1 --retries=-1", ["--retries=-1"]),
    (STAND_IN, "", ["--models_dir"]),
    (TEACH, "", ["--output_dir"]),
    (CHECK_GPU, "--precisions=int4", ["`precisions` must be", "Received: int4"]),
    (CHECK_GPU, "--parts=all", ["--parts must be of", "Received: all"]),
    (EXPORT_WEB, "--output=o --kinds=int8", ["--kinds must be", "Received: int8"]),
    (SERVE_WEB, "", ["needs a folder that export-web made"]),
    (MODELS, "vocals", ["takes nothing, or card NAME. Received: vocals"]),
    (MODELS, "card", ["takes nothing, or card NAME. Received: card"]),
    (MODELS, "card a b", ["takes nothing, or card NAME. Received: card a b"]),
]
BAD_INPUT = [
    (SEPARATE, "--checkpoint={bad}/none a", ["{bad}/none: must be a checkpoint"]),
    (SEPARATE, "--checkpoint={bad}/empty a", ["{bad}/empty: ", "config.json"]),
    (SEPARATE, "--checkpoint={bad}/list a", ["config.json: must be an object"]),
    (SEPARATE, "--checkpoint={bad}/text a", ["config.json: must be JSON"]),
    (SEPARATE, "--checkpoint={bad}/later a", ["`format_version` must be 1", "99"]),
    (SEPARATE, "--checkpoint={bad}/other a", ["`architecture` must be one", "'tape'"]),
    (SEPARATE, "--checkpoint={bad}/range a", ["config.json: ", "`channels`", "7"]),
    (SEPARATE, "--model=none a", ["none: must be a model's name", "vocals"]),
    (SEPARATE, "--tflite={bad}/text.wav a", ["text.wav: must be a TFLite file"]),
    (SEPARATE, "--tflite={bad}/none.tflite a", ["none.tflite: No such file"]),
    (SEPARATE, "{bad}/none.wav", ["{bad}/none.wav: No such file or directory"]),
    (SEPARATE, "{bad}/text.wav", ["{bad}/text.wav: must be an audio file"]),
    (SEPARATE, "{bad}/zero.wav", ["{bad}/zero.wav: must be an audio file", "empty"]),
    (SEPARATE, "{bad}/empty", ["{bad}/empty: must hold audio files"]),
    (SEPARATE, "{bad}/*.mp3", ["{bad}/*.mp3: must find files"]),
    (SEPARATE, "--output_dir={bad}/text.wav {bad}/song.wav", ["must be a folder"]),
    (SEPARATE, "--output_template={{track}}.{{ext}} {bad}/song.wav", ["of their own"]),
    (PREPARE, "--dataset=folder --source={bad}/none --output={bad}/o", ["{bad}/none"]),
    (PREPARE, "--dataset=folder --source={bad}/empty --output={bad}/o", ["tracks"]),
    (DATA, "--data_dir={bad}/empty", ["{bad}/empty: must be what `prepare` wrote"]),
    (TRAIN, "--data_dir={bad}/none --workdir={bad}/o", ["{bad}/none: must be"]),
    (TRAIN, "--data_dir={bad}/empty --workdir={bad}/o", ["{bad}/empty: must hold"]),
    (IMPORT, "--tf1_checkpoint={bad}/none --output={bad}/o", ["none.index"]),
    (DESCRIBE, "--checkpoint={bad}/text", ["config.json: must be JSON"]),
    (DESCRIBE, "--checkpoint={bad}/none", ["{bad}/none: must be a checkpoint"]),
    (PACK, "--checkpoint={bad}/none --name=a --description=b", ["{bad}/none: must be"]),
    (MUSDB, "--data_dir={bad}/empty --output_dir={bad}/o --checkpoint={bad}/none",
     ["{bad}/none: must be a checkpoint"]),
    (SUMMARY, "a={bad}/none", ["{bad}/none: must be a folder of museval's JSON"]),
    (PLOTS, "a={bad}/none --output_dir={bad}/o", ["{bad}/none: must be a folder"]),
    (REPORT, "a={bad}/none --output_dir={bad}/o", ["{bad}/none: must be a folder"]),
    (SEAMS, "--checkpoint=a={bad}/none {bad}/song.wav --output_dir={bad}/o",
     ["{bad}/none"]),
    (EXPORT, "--checkpoint={bad}/none --output={bad}/o --formats=tflite_float32",
     ["{bad}/none: must be a checkpoint"]),
    (DESCRIBE_FILE, "{bad}/text.wav", ["{bad}/text.wav: must be a TFLite file"]),
    (DESCRIBE_FILE, "{bad}/none.tflite", ["{bad}/none.tflite: No such file"]),
    (PARITY, "--checkpoint={bad}/none --artifacts={bad}/empty", ["{bad}/"]),
    (ARM64, "--artifacts={bad}/empty", ["{bad}/empty"]),
    (CLIENT, "--server=localhost:1 --retries=0 {bad}/song.wav", ["localhost:1: not"]),
    (STAND_IN, "--models_dir={bad}/none", ["{bad}/none"]),
    (TEACH, "--output_dir={bad}/o --checkpoint={bad}/none {bad}/song.wav",
     ["{bad}/none: must be a checkpoint"]),
    (EXPORT_WEB, "--model={bad}/none --output={bad}/o", ["{bad}/none: must be a"]),
    (SERVE_WEB, "{bad}/none", ["{bad}/none: must be a folder that `waveunet"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A folder of one good song and much that is bad."""
    folder = tmp_path_factory.mktemp("bad")
    soundfile.write(folder / "song.wav", np.zeros((99, 2)), 8000)
    (folder / "text.wav").write_text("no music")
    (folder / "zero.wav").touch()
    (folder / "empty").mkdir()
    network = json.dumps({**VARIANTS["M4"].to_json(), "channels": 7})
    for name, text in {
        "text": "{",
        "list": "[]",
        "later": '{"format_version": 99, "network": {}}',
        "other": '{"format_version": 1, "network": {"architecture": "tape"}}',
        "range": f'{{"format_version": 1, "network": {network}}}',
    }.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(text)
    return folder


def commands():
    """Every command of the project that users run."""
    return {f"waveunet_tf {name}" for name in SUBCOMMANDS}


def check_line(result, exit_code, texts):
    """Checks that a refusal is one line, and nothing else but notes before it."""
    check_refusal(result, exit_code, *texts)
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert len(last) < 600


def test_every_command_is_among_these():
    assert {command for command, *_ in USAGE} == commands()
    # They take no input; broken models are told in a line each (pack_test.py).
    without_input = {MODELS, CHECK_GPU}
    assert {command for command, *_ in BAD_INPUT} == commands() - without_input


@pytest.mark.parametrize("command", sorted(commands()))
def test_an_unknown_flag_is_named(command):
    check_line(run_here(command, "--colour=red"), 2, ["colour", "(see --help)"])


@pytest.mark.parametrize(("command", "words", "texts"), USAGE)
def test_bad_usage_is_refused_in_one_line(command, words, texts):
    arguments = [*BEFORE.get(command, "").split(), *words.split()]
    result = run_here(command, *arguments)
    check_line(result, 2, [*texts, "(see --help)"])


@pytest.mark.parametrize(("command", "words", "texts"), BAD_INPUT)
def test_bad_input_is_refused_in_one_line(bad, command, words, texts, tmp_path):
    before = sorted(bad.rglob("*"))
    words = words.format(bad=bad).split()
    if command == SEPARATE and "--output_dir" not in " ".join(words):
        words.append(f"--output_dir={tmp_path}")
    check_line(run_here(command, *words), 1, [text.format(bad=bad) for text in texts])
    assert sorted(bad.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [PREPARE, TRAIN, DESCRIBE, PACK, EXPORT, DATA])
def test_a_stray_argument_is_refused(command):
    words = {DATA: "--data_dir=a", DESCRIBE: "", EXPORT: "--formats=tflite_float32"}
    flags = f"{BEFORE.get(command, '')} {words.get(command, '')}".split()
    if command == PREPARE:
        flags.append("--dataset=folder")
    check_line(run_here(command, *flags, "stray"), 2, ["no arguments", "stray"])
