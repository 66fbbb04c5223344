import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.audio.planted_decoders import children, wait_for_its_end
from waveunet_tf.audio import decoder_child, io
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("segv.mka", r"crashed \(SIGSEGV\)"),
        ("opening-segv.mka", r"crashed \(SIGSEGV\)"),
        ("killed.mka", "crashed .SIGKILL, perhaps because memory is full"),
        ("stuck.mka", "is stuck: it gave nothing for 1 s"),
        ("opening-stuck.mka", "is stuck"),
        ("garbage.mka", "crashed"),
    ],
)
def test_a_decoder_that_crashes_or_hangs_is_told_and_others_go_on(
    ffmpeg_files, tmp_path, planted, monkeypatch, name, said
):
    (tmp_path / name).write_bytes((ffmpeg_files / "b.mka").read_bytes())
    monkeypatch.setattr(decoder_child, "_LOOKS", 450)
    before = children()
    with decoding_apart():
        assert len(io.read(ffmpeg_files / "b.mka")[0]) == 200_000  # It has started.
        with monkeypatch.context() as patch:
            patch.setattr(decoder_child, "_STUCK_SECONDS", 1.0)
            rule = f"{name}: cannot be decoded: .*{said}"
            with pytest.raises(InputError, match=rule):
                io.read(tmp_path / name)
        assert len(io.read(ffmpeg_files / "b.mka")[0]) == 200_000
    assert children() == before


def test_of_several_files_the_one_that_crashes_is_named(
    ffmpeg_files, tmp_path, planted
):
    for name in ("first.mka", "segv.mka", "last.mka"):
        (tmp_path / name).write_bytes((ffmpeg_files / "b.mka").read_bytes())
    names = ("first.mka", "segv.mka", "last.mka")
    with decoding_apart():
        readers = [AudioReader(tmp_path / name) for name in names]
        streams = [reader.blocks() for reader in readers]
        for stream in streams[1:] + streams[:1]:  # The process is lost for all of them.
            with pytest.raises(InputError, match="segv.mka: .* its decoder crashed"):
                list(stream)
        for reader in readers:
            reader.__exit__()


def test_an_odd_error_keeps_its_name_and_its_traceback(ffmpeg_files, tmp_path, planted):
    (tmp_path / "odd.mka").write_bytes((ffmpeg_files / "b.mka").read_bytes())
    with decoding_apart(), pytest.raises(Exception, match="list index") as error:
        io.read(tmp_path / "odd.mka")
    assert type(error.value).__name__ == "IndexError"
    assert "planted_decoders.py" in str(error.value.__cause__)


def test_what_a_decoder_logs_is_logged_here_and_what_it_prints_is_not(
    ffmpeg_files, tmp_path, planted, caplog, capfd
):
    caplog.set_level("INFO", logger="absl")
    (tmp_path / "prints-warns.mka").write_bytes((ffmpeg_files / "b.mka").read_bytes())
    with decoding_apart():
        assert len(io.read(tmp_path / "prints-warns.mka")[0]) == 200_000
    assert [record.getMessage() for record in caplog.records] == [
        "a decoder warns",
        "and informs",
    ]
    assert capfd.readouterr().out == ""


def test_the_other_process_imports_no_network(ffmpeg_files, tmp_path, planted, caplog):
    (tmp_path / "modules.mka").write_bytes((ffmpeg_files / "b.mka").read_bytes())
    with decoding_apart():
        io.read(tmp_path / "modules.mka")
    modules = {name.partition(".")[0] for name in caplog.text.split()}
    assert "numpy" in modules
    assert not modules & {"tensorflow", "keras", "ai_edge_litert", "h5py", "tqdm"}


def test_a_module_beside_the_songs_is_not_imported(ffmpeg_files, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit")
    (tmp_path / "soundfile.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    before = children()
    with decoding_apart(), AudioReader(ffmpeg_files / "b.mka") as reader:
        assert len(children() - before) == 1
        assert reader.channels == 2


@pytest.mark.parametrize("start", ["raise SystemExit(3)", "print(1)", ""])
def test_where_no_process_can_start_this_one_decodes(ffmpeg_files, monkeypatch, start):
    if not start:
        monkeypatch.setattr(sys, "executable", "/no/such/python")
    monkeypatch.setattr(decoder_child, "_START", start)
    before = children()
    with decoding_apart():
        assert len(io.read(ffmpeg_files / "b.mka")[0]) == 200_000
        assert children() == before


def test_a_fork_leaves_its_parents_decoder_alone(ffmpeg_files):
    with decoding_apart(), AudioReader(ffmpeg_files / "b.mka") as reader:
        blocks = reader.blocks()
        first = len(next(blocks))
        pid = os.fork()
        if not pid:  # Exit codes: 0 where the copy decodes by a process of its own.
            try:
                os._exit(len(io.read(ffmpeg_files / "b.mka")[0]) != 200_000)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert sum(map(len, blocks)) == 200_000 - first


WAITING = """
import sys, time
from tests.audio.planted_decoders import START
from waveunet_tf.audio import decoder_child, decoder_process, io
decoder_child._START = START
with decoder_process.decoding_apart():
    io.read(sys.argv[1])
    print("ready", flush=True)
    io.read(sys.argv[2])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stuck_decoder_ends_with_its_parent(ffmpeg_files, tmp_path, number):
    (tmp_path / "stuck.mka").write_bytes((ffmpeg_files / "b.mka").read_bytes())
    parent = subprocess.Popen(
        [sys.executable, "-c", WAITING, ffmpeg_files / "b.mka", tmp_path / "stuck.mka"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout.readline() == b"ready\n"
    path = pathlib.Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    (child,) = path.read_text().split()
    time.sleep(0.2)
    begun = time.monotonic()
    os.killpg(parent.pid, number)  # as a terminal does
    # stderr ends once both processes have ended.
    _, errors = parent.communicate(timeout=30)
    assert time.monotonic() - begun < 10
    wait_for_its_end(child, begun + 10)
    assert errors.count(b"Traceback") == (number == signal.SIGINT)
