import contextlib
import subprocess
import sys
import time
from concurrent import futures

import numpy as np
import pytest
import soundfile

from tests.audio import planted_decoders
from tests.audio.planted_decoders import children, wait_for_its_end
from tests.audio.signals import RATE_HZ, noise, tone
from waveunet_tf.audio import decoder_child, decoder_process, io
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.errors import InputError
from waveunet_tf.system import processes

FACTS = ("sample_rate_hz", "channels", "bit_depth", "duration_seconds", "tags")


def content_of(path):
    with AudioReader(path) as reader:
        facts = [getattr(reader, name) for name in FACTS]
        blocks = list(reader.blocks())
        others = len(children())
    return facts, blocks, others


def test_another_process_gives_the_same_samples_and_facts(ffmpeg_files):
    before = children()
    expected = {path: content_of(path) for path in ffmpeg_files.iterdir()}
    with decoding_apart():
        for path, (facts, blocks, others) in expected.items():
            there = content_of(path)
            assert there[0] == facts
            np.testing.assert_array_equal(*map(np.concatenate, (there[1], blocks)))
            assert max(map(len, there[1])) <= decoder_child.BLOCK_FRAMES
            assert there[2] == others + 1  # One process for all of them.
    assert children() == before


def test_what_libsndfile_decodes_needs_no_other_process(tmp_path):
    soundfile.write(tmp_path / "x.wav", noise(1000), RATE_HZ)
    before = children()
    with decoding_apart():
        assert len(io.read(tmp_path / "x.wav")[0]) == 1000
        assert children() == before


def test_tags_that_ffmpeg_reads_are_read_there(tmp_path):
    with soundfile.SoundFile(tmp_path / "x.wav", "w", RATE_HZ, 2) as file:
        file.title = "M?nchen"
        file.write(tone(100))
    content = (tmp_path / "x.wav").read_bytes().replace(b"M?nchen", b"M\xfcnchen")
    (tmp_path / "x.wav").write_bytes(content)
    before = children()
    with decoding_apart(), AudioReader(tmp_path / "x.wav") as reader:
        assert reader.tags == {"title": "München"}
        assert len(children() - before) == 1


def test_streams_of_one_track_are_read_in_step(example):
    whole = [io.read(example, stream=number)[0] for number in range(5)]
    with decoding_apart():
        before = children()
        readers = [AudioReader(example, stream=number) for number in range(5)]
        assert len(children() - before) == 1
        for blocks in zip(*(reader.blocks() for reader in readers)):
            for number, block in enumerate(blocks):
                expected, whole[number] = np.split(whole[number], [len(block)])
                np.testing.assert_array_equal(block, expected)
        for reader in readers:
            reader.__exit__()
    assert not any(map(len, whole))


@pytest.mark.parametrize("name", ["empty.mp3", "text.m4a", "cut.m4a", "cut.mka", "no"])
def test_errors_are_those_of_this_process(ffmpeg_files, tmp_path, monkeypatch, name):
    content = {"empty": b"", "text": b"no music\n" * 99, "no": None}
    start, suffix = name.partition(".")[::2]
    if start == "cut":
        whole = next(ffmpeg_files.glob(f"*.{suffix}")).read_bytes()
        content = {"cut": whole[: len(whole) // 2]}
    if content[start] is not None:
        (tmp_path / name).write_bytes(content[start])
    monkeypatch.chdir(tmp_path)  # Files are named as the caller names them.
    told = []
    for where in (contextlib.nullcontext(), decoding_apart()):
        with where, pytest.raises((InputError, FileNotFoundError)) as error:
            io.read(name)
        told.append((type(error.value), str(error.value)))
    assert told[0] == told[1]
    assert name in told[0][1]


def test_an_error_comes_after_the_frames_before_it(ffmpeg_files, tmp_path, planted):
    (tmp_path / "odd.mka").write_bytes((ffmpeg_files / "b.mka").read_bytes())
    with decoding_apart(), AudioReader(tmp_path / "odd.mka") as reader:
        blocks = reader.blocks()
        assert len(next(blocks)) > 0
        with pytest.raises(Exception, match="list index"):
            next(blocks)


def test_a_file_may_be_left_in_its_middle(ffmpeg_files):
    with decoding_apart():
        for _ in range(3):
            with AudioReader(ffmpeg_files / "b.mka") as reader:
                next(reader.blocks())
        assert len(io.read(ffmpeg_files / "b.mka")[0]) == 200_000


def test_names_are_those_of_the_folder_at_work(ffmpeg_files, monkeypatch):
    with decoding_apart():
        io.read(ffmpeg_files / "a.m4a")
        monkeypatch.chdir(ffmpeg_files)
        assert len(io.read("b.mka")[0]) == 200_000


def test_standard_input_is_decoded_here(ffmpeg_files):
    code = (
        "from waveunet_tf.audio import io\n"
        "from waveunet_tf.audio.decoder_process import decoding_apart\n"
        "with decoding_apart(): print(len(io.read('/dev/stdin')[0]))"
    )
    with (ffmpeg_files / "b.mka").open("rb") as file:
        words = [sys.executable, "-c", code]
        result = subprocess.run(words, stdin=file, capture_output=True, check=True)
    assert result.stdout == b"200000\n"


def test_a_decoder_that_is_kept_serves_later_bodies_of_any_thread(
    ffmpeg_files, monkeypatch
):
    monkeypatch.setattr(decoder_process, "_kept", [])
    before = children()

    def read(_=0):
        pids, length = planted_decoders.read_apart(ffmpeg_files / "a.m4a")
        assert length >= 150_000
        return set(pids) - before

    (first,) = read()
    for _ in range(2):
        with futures.ThreadPoolExecutor(1) as thread:
            assert thread.submit(read).result() == {first}
    with decoding_apart(keep=True):
        assert read() == {first}
        with futures.ThreadPoolExecutor(1) as thread:  # That one is at work.
            other = thread.submit(read).result() - {first}
    assert len(other) == len(decoder_process._kept) - 1 == 1
    with decoding_apart():  # This one has its own, which ends with it.
        io.read(ffmpeg_files / "a.m4a")
        assert len(children() - before) == 3
    assert children() - before == {first, *other}
    for process in decoder_process._kept:
        process.close()
    assert children() == before


def test_a_process_of_a_pool_keeps_its_decoder_for_later_jobs(ffmpeg_files):
    jobs = [ffmpeg_files / "a.m4a"] * 6
    done = list(processes.run_in_processes(planted_decoders.read_apart, jobs, 2))
    assert all(length >= 150_000 for _, length in done)
    pids = {pid for pids, _ in done for pid in pids}
    assert 1 <= len(pids) <= 2
    deadline = time.monotonic() + 10
    for pid in pids:
        wait_for_its_end(pid, deadline)
