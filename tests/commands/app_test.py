"""How every command starts and ends: help, exit codes, messages, signals."""

import errno
import logging as python_logging
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from absl import flags, logging

from tests.command_line import ROOT, run_here
from tests.project import EXTRAS
from waveunet_tf.__main__ import COMMANDS
from waveunet_tf.commands import app
from waveunet_tf.configs.networks import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.system import versions


@pytest.fixture
def exit_of(monkeypatch, capsys):
    """Runs a main function as a command does; gives exit code, stdout and stderr."""
    names = ("SIGTERM", "SIGHUP")
    handlers = {name: signal.getsignal(getattr(signal, name)) for name in names}

    def run_main(main, *argv, **options):
        monkeypatch.setattr(sys, "argv", ["command", *argv])
        with pytest.raises(SystemExit) as caught:
            app.run(main, **options)
        output = capsys.readouterr()
        return caught.value.code or 0, output.out, output.err

    yield run_main
    for name, handler in handlers.items():
        signal.signal(getattr(signal, name), handler)


def raising(error):
    def main(arguments):
        raise error

    return main


@pytest.mark.parametrize("code", [None, 0, 1, 3])
def test_a_command_exits_with_what_its_main_returns(exit_of, code):
    assert exit_of(lambda arguments: code) == (code or 0, "", "")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a: must be b"), 1, "error: a: must be b"),
        (InputError("a: must be\nb"), 1, "error: a: must be b"),
        (app.UsageError("--a is wrong"), 2, "error: --a is wrong (see --help)"),
        (OSError(errno.ENOSPC, "Full", "disk"), 1, "error: disk: Full"),
        (MemoryError(), 1, "error: needs more memory than there is"),
        (OSError("without a number"), 1, "error: without a number"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(exit_of, error, code, line):
    assert exit_of(raising(error)) == (code, "", line + "\n")


def test_a_fault_of_ours_keeps_its_traceback(exit_of, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["command"])
    with pytest.raises(ZeroDivisionError):
        app.run(raising(ZeroDivisionError()))


@pytest.mark.parametrize(
    ("argv", "options", "code", "text"),
    [
        (["a"], {}, 2, "takes no arguments. Received: a"),
        ([], {"arguments": "songs"}, 2, "needs songs"),
        ([], {"arguments": "songs", "may_be_none": True}, 0, ""),
        (["a"], {"arguments": "songs"}, 0, ""),
        (["--nothing"], {"arguments": "songs"}, 2, "nothing"),
    ],
)
def test_arguments_are_those_that_a_command_takes(exit_of, argv, options, code, text):
    received = []
    result = exit_of(received.append, *argv, **options)
    assert result[0] == code
    assert text in result[2]
    assert received == ([] if code else [argv])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_command_as_ctrl_c_does(exit_of, name):
    cleared = []

    def main(arguments):
        try:
            signal.raise_signal(getattr(signal, name))
        finally:
            cleared.append(True)

    assert exit_of(main)[0] == 128 + getattr(signal, name)
    assert cleared


def test_under_nohup_a_closed_terminal_does_not_end_a_command(exit_of):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert exit_of(lambda arguments: signal.raise_signal(signal.SIGHUP))[0] == 0


def test_messages_are_plain_lines_with_their_level_from_warnings_on(exit_of):
    def main(arguments):
        logging.info("resampled to %d Hz", 8000)
        logging.warning("clipped")
        logging.error("broken")

    assert exit_of(main)[2] == "resampled to 8000 Hz\nwarning: clipped\nerror: broken\n"


def test_notes_of_a_library_on_itself_are_no_messages(exit_of):
    """matplotlib tells where it has looked for fonts for the first time."""

    def main(arguments):
        python_logging.getLogger("matplotlib.font_manager").info("generated fonts")
        python_logging.getLogger("matplotlib.font_manager").warning("lacks a font")

    assert exit_of(main)[2] == "warning: lacks a font\n"


def test_names_move_no_cursor_in_messages(exit_of):
    def warn(arguments):
        logging.warning("%s: clipped", "a\x1b[2J")

    def refuse(arguments):
        raise InputError("a\x1b[2J: must be b")

    def misuse(arguments):
        raise app.UsageError("no a\x1b[2J")

    assert exit_of(warn)[2] == "warning: a\\x1b[2J: clipped\n"
    assert exit_of(refuse)[2] == "error: a\\x1b[2J: must be b\n"
    assert exit_of(misuse)[2] == "error: no a\\x1b[2J (see --help)\n"


def test_names_that_are_not_utf_8_are_printed_with_escapes(exit_of):
    code, out, _ = exit_of(lambda arguments: print(os.fsdecode(b"caf\xe9")))
    assert (code, out) == (0, "caf\\udce9\n")


def test_an_error_names_the_argument_in_work_unless_it_does(capsys):
    app.print_error(InputError("must be short"), of="song.wav")
    app.print_error(InputError("song.wav: must be short"), of="song.wav")
    assert capsys.readouterr().err == "error: song.wav: must be short\n" * 2


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_the_command_and_exits_with_0(command):
    result = run_here(f"waveunet_tf {command}", "--help")
    assert result.returncode == 0
    assert f"waveunet {command}" in result.stdout
    configs = {
        "train": [WaveUNetConfig(), SpectrogramUNetConfig(), TrainingConfig()],
        "import": [WaveUNetConfig(), SpectrogramUNetConfig()],
        "describe": [WaveUNetConfig(), SpectrogramUNetConfig()],
    }
    for config in configs.get(command, []):
        for name in config.to_dict():
            assert re.search(rf"--(\[no\])?{name}:.+[a-z]{{4}}", result.stdout)


def test_ctrl_c_while_decoding_is_not_taken_for_a_broken_file(shared_data, tmp_path):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "waveunet_tf", "prepare", "--dataset=folder"),
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


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("waveunet_tf", "--help"),
        ("waveunet_tf separate", "--help"),
        ("waveunet_tf models", ""),
    ],
)
def test_who_reads_the_output_may_stop_reading(command, flag):
    """As `| head` does, whether the output is longer than its buffer or not."""
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        [sys.executable, "-m", *command.split(), *flag.split()],
        cwd=ROOT,
        env=buffered,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.fixture
def flag_values(monkeypatch):
    """Flags of a command that has been defined, and no others."""
    values = flags.FlagValues()
    flags.DEFINE_string("two_stems", None, "", flag_values=values)
    flags.DEFINE_boolean("overwrite", True, "", flag_values=values, short_name="o")
    flags.DEFINE_boolean("no_context", False, "", flag_values=values)
    monkeypatch.setattr(flags, "FLAGS", values)
    return values


@pytest.mark.parametrize(
    ("words", "two_stems", "overwrite", "no_context", "rest"),
    [
        ("--two-stems vocals a-b.wav", "vocals", True, False, ["a-b.wav"]),
        ("--two-stems=no-vocals", "no-vocals", True, False, []),
        ("--two_stems=a --no-overwrite", "a", False, False, []),
        ("--nooverwrite --no-context", None, False, True, []),
        ("--overwrite=false -- --two-stems", None, False, False, ["--two-stems"]),
        ("- -o a", None, True, False, ["-", "a"]),
    ],
)
def test_flags_may_be_written_with_dashes(
    exit_of, flag_values, words, two_stems, overwrite, no_context, rest
):
    seen = []
    code, _, errors = exit_of(
        seen.extend, *words.split(), arguments="songs", may_be_none=True
    )
    assert (code, errors, seen) == (0, "", rest)
    assert flag_values.flag_values_dict() | {"o": 0} == {
        "two_stems": two_stems,
        "overwrite": overwrite,
        "no_context": no_context,
        "o": 0,
    }


def test_an_unknown_flag_is_named_as_it_was_not_respelt_to_nonsense(exit_of):
    code, _, errors = exit_of(lambda arguments: 0, "--no-such-flag")
    assert code == 2
    assert "no_such_flag" in errors


@pytest.mark.parametrize("words", ["--speed=nan", "--weight=1 --weight=NaN"])
def test_no_flag_takes_what_is_no_number(exit_of, flag_values, words):
    """absl compares with the bounds, within which NaN always is."""
    flags.DEFINE_float("speed", 1.0, "", 0.5, 2.0, flag_values=flag_values)
    flags.DEFINE_multi_float("weight", [1.0], "", flag_values=flag_values)
    code, _, errors = exit_of(lambda arguments: 0, *words.split())
    assert code == 2 and len(errors.splitlines()) == 1
    assert f"{words[:6]}" in errors and "must be a number. Received: nan" in errors


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_asked_for_as_elsewhere(flag):
    result = run_here("waveunet_tf pack", flag)
    assert result.returncode == 0
    assert result.stdout.startswith("Packs a checkpoint")
    assert "-o,--output_dir" in result.stdout


def test_a_missing_package_is_named_with_the_extra_that_brings_it(exit_of):
    def main(arguments):
        raise ModuleNotFoundError("No module named 'museval'", name="museval.metrics")

    assert exit_of(main) == (
        1,
        "",
        "error: needs museval: pip install 'waveunet-tf[evaluate]'\n",
    )


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("export", "tensorflow", "export"),
        ("train", "tensorflow", "train"),
        ("prepare", "musdb", "train"),
        ("score", "musdb", "evaluate"),
        ("score", "tensorflow", "train"),
        ("client", "grpc", "serving"),
        ("stand-in", "grpc", "stand-in"),
        ("train", "apache_beam", "beam"),
    ],
)
def test_the_extra_is_that_of_the_command_if_it_brings_the_package(
    command, package, extra
):
    error = ModuleNotFoundError("", name=f"{package}.x")
    module = f"waveunet_tf.{COMMANDS[command]}"
    line = f"needs {package}: pip install 'waveunet-tf[{extra}]'"
    assert app.explain_import(error, module) == line


def test_an_unknown_error_is_one_line_where_versions_do_not_fit(exit_of, monkeypatch):
    misfit = "numpy 1.0 does not fit waveunet-tf 0.1.0: pip install 'numpy>=1.26'"
    seen = set()

    def misfits(packages):
        seen.update(packages)
        return [misfit]

    monkeypatch.setattr(versions, "misfits", misfits)
    for error in (AttributeError("no\nsuch"), ImportError("no such", name="any")):
        code, _, errors = exit_of(raising(error))
        assert (code, errors) == (1, f"error: {misfit} (no such)\n")
    assert {"numpy", "any"} <= seen
    code, _, errors = exit_of(raising(InputError("a: must be b")))
    assert errors == "error: a: must be b\n"  # bad input is bad with any versions


def test_packages_that_do_not_fit_together_are_told_in_one_line(exit_of):
    def main(arguments):
        raise ImportError("numpy.core\nfailed to import", name="numpy")

    code, _, errors = exit_of(main)
    assert code == 1
    assert errors.startswith("error: numpy.core failed to import: ")
    assert errors.endswith("(see `pip check`)\n")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("words", ["--version", "models"])
def test_closed_standard_streams_hinder_nothing(words, closed):
    result = subprocess.run(
        f"{sys.executable} -m waveunet_tf {words} {closed}",
        cwd=ROOT,
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert bool(result.stdout) == (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize("name", ["waveunet_tf.nowhere", "anywhere"])
def test_a_fault_of_our_own_is_not_taken_for_a_missing_package(exit_of, name):
    with pytest.raises(ModuleNotFoundError):
        exit_of(raising(ModuleNotFoundError("No module", name=name)))


def test_every_extra_that_a_message_names_brings_the_package():
    """Its distribution is called as the package, but for these."""
    others = {"grpc": "grpcio", "yaml": "pyyaml", "stempeg": "musdb"}
    others["google"] = "protobuf"
    others["tensorflow_serving"] = "tensorflow-serving-api"
    pairs = [(name, extra) for name in app._EXTRAS for extra in app._EXTRAS[name]]
    for package, extra in pairs:
        wished = [re.match(r"[\w-]+", line)[0].lower() for line in EXTRAS[extra]]
        assert others.get(package, package).replace("_", "-") in wished, package


def test_the_home_folder_is_found_in_flags_and_arguments(
    exit_of, flag_values, monkeypatch
):
    monkeypatch.setenv("HOME", "/home/somebody")
    seen = []
    words = ["--two_stems=~/a", "~/b", "m4=~/c", "~d.wav", "--", "~/e", "~f"]
    assert exit_of(seen.extend, *words, arguments="songs") == (0, "", "")
    home = "/home/somebody"
    assert seen == [f"{home}/b", f"m4={home}/c", "~d.wav", f"{home}/e", "~f"]
    assert flag_values.two_stems == f"{home}/a"


def test_a_file_that_looks_like_a_flag_is_named_as_it_can_be_given(
    exit_of, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-song.wav").touch()
    code, _, errors = exit_of(lambda arguments: 0, "-song.wav", arguments="songs")
    assert code == 2
    assert "the file is named ./-song.wav" in errors
    (tmp_path / "-song.wav").unlink()
    assert "the file is" not in exit_of(lambda arguments: 0, "-song.wav")[2]
