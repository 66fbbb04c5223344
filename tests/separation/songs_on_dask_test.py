"""Songs on a real scheduler and two worker processes: the same stems, and a ledger."""

import contextlib
import dataclasses
import functools
import json
import resource
import shutil

import numpy as np
import pytest
import soundfile

import waveunet_tf
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.separation import songs_on_dask
from waveunet_tf.separation.separator_source import CheckpointSource
from waveunet_tf.separation.song_catalogue import Catalogue
from waveunet_tf.separation.songs import SongOptions, separate_songs
from waveunet_tf.separation.songs_on_dask import separate_on_dask
from waveunet_tf.system import dask_jobs, dask_workers

# They share a cluster and a converted network.
pytestmark = pytest.mark.xdist_group("dask")


@pytest.fixture(scope="module")
def source(kept_checkpoint):
    """A tiny network, converted here, so that workers need no TensorFlow."""
    source = CheckpointSource.open(
        kept_checkpoint, overrides={}, engine="litert", threads=1
    )
    source.load()
    return source


@pytest.fixture
def songs(tmp_path):
    """Songs of a second and more, and one that is none."""
    folder = tmp_path / "songs"
    folder.mkdir()
    for number in range(4):
        audio = np.random.default_rng(number).normal(0, 0.1, (8000 * (number + 1), 2))
        soundfile.write(folder / f"{number}.wav", audio, 8000)
    broken = (folder / "3.wav").read_bytes()
    (folder / "cut.wav").write_bytes(broken[: len(broken) // 2])
    return folder


@pytest.fixture
def run(dask_client, source, monkeypatch):
    monkeypatch.setattr(dask_workers, "TICK_SECONDS", 0.2)
    monkeypatch.setattr(dask_jobs, "_REST_SECONDS", 0.2)

    def run_(songs, options, source=source):
        steps = []
        engine = functools.partial(separate_on_dask, dask_client, source)
        with Catalogue(songs, options, source) as catalogue:
            catalogue.run(engine, on_progress=steps.append)
        return catalogue, steps

    return run_


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*.wav"))
    }


def statuses(folder):
    """Song → its last status in the ledger."""
    lines = map(json.loads, (folder / "ledger.jsonl").open())
    return {line["song"].rpartition("/")[2]: line["status"] for line in lines}


def test_stems_have_the_bytes_that_they_have_without_a_scheduler(
    run, songs, tmp_path, source
):
    options = SongOptions(output_dir=tmp_path / "stems")
    catalogue, steps = run([songs], options)
    here = SongOptions(output_dir=tmp_path / "here")
    expected = separate_songs(songs, here, source.load())
    assert contents(tmp_path / "stems") == contents(tmp_path / "here")
    assert list(map(str, catalogue.failures)) == list(map(str, expected))
    assert len(expected) == 1
    assert (
        steps[-1].done_seconds == steps[-1].total_seconds == pytest.approx(12, abs=0.01)
    )
    written = [path for step in steps for path in step.written]
    assert sorted(written) == sorted((tmp_path / "stems").rglob("*.wav"))
    expected = {f"{number}.wav": "done" for number in range(4)}
    assert statuses(tmp_path / "stems") == {**expected, "cut.wav": "failed"}


def test_the_same_run_goes_on_where_an_earlier_one_was_stopped(run, songs, tmp_path):
    options = SongOptions(output_dir=tmp_path / "stems")
    run([songs], options)
    whole = contents(tmp_path / "stems")
    ledger = tmp_path / "stems" / "ledger.jsonl"
    # Killed while a song's stems were there, but not noted yet.
    lines = ledger.read_text().splitlines(keepends=True)
    kept = [line for line in lines if "/2.wav" not in line or "planned" in line]
    ledger.write_text("".join(kept))
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("stems/*/*.wav")}
    catalogue, steps = run([songs], options)
    assert catalogue.already_done == 3
    assert {step.song.name for step in steps if step.written} == {"2.wav"}
    assert contents(tmp_path / "stems") == whole
    for path, time_ns in times.items():
        assert (path.stat().st_mtime_ns == time_ns) == (path.parent.name != "2")
    (failure,) = catalogue.failures
    assert "cut.wav: must be a whole audio file" in str(failure)


def test_stems_that_exist_are_a_users_or_skipped(run, songs, tmp_path, source):
    here = SongOptions(output_dir=tmp_path / "stems")
    separate_songs([songs / "0.wav", songs / "1.wav"], here, source.load())
    (tmp_path / "stems" / "1" / "vocals.wav").unlink()
    catalogue, _ = run([songs / "0.wav", songs / "1.wav"], here)
    assert len(catalogue.failures) == 2
    assert "must be a new file, or --overwrite" in str(catalogue.failures[0])
    skipping = SongOptions(output_dir=tmp_path / "stems", skip_existing=True)
    catalogue, steps = run([songs / "0.wav", songs / "1.wav"], skipping)
    assert catalogue.failures == []
    assert {step.song.name for step in steps if step.written} == {"1.wav"}
    assert statuses(tmp_path / "stems") == {"0.wav": "done", "1.wav": "done"}


def test_a_song_that_a_worker_does_not_see_is_one_line_that_names_it(
    run, songs, tmp_path
):
    class Vanishing(Catalogue):
        def run(self, engine, **arguments):
            (songs / "1.wav").unlink()
            super().run(engine, **arguments)

    options = SongOptions(output_dir=tmp_path / "stems")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "Catalogue", Vanishing)
        catalogue, _ = run([songs / "1.wav", songs / "2.wav"], options)
    (failure,) = catalogue.failures
    assert str(failure).startswith(f"{songs}/1.wav: No such file or directory (on tcp:")
    assert statuses(tmp_path / "stems") == {"1.wav": "failed", "2.wav": "done"}


def test_workers_with_another_network_are_named(
    run, songs, tmp_path, tiny_checkpoint, source
):
    other = CheckpointSource.open(tiny_checkpoint, overrides={}, engine="litert")
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    (tiny_checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="no worker is fit: tcp://[0-9.:]+: ") as error:
        run([songs], SongOptions(output_dir=tmp_path / "stems"), other)
    assert "must be the network of hash" in str(error.value)
    shutil.rmtree(tiny_checkpoint)
    with pytest.raises(InputError, match="no worker is fit: tcp://[0-9.:]+: ") as error:
        run([songs], SongOptions(output_dir=tmp_path / "stems"), other)
    assert str(tiny_checkpoint) in str(error.value)
    assert not list(tmp_path.rglob("stems/*/*"))


@pytest.mark.parametrize(("deaths", "calls"), [(0, 1), (2, 3), (9, 5)])
def test_a_worker_that_dies_while_it_gets_the_network_ends_no_run(
    monkeypatch, deaths, calls
):
    class Client:
        status, calls = "running", 0

        def register_plugin(self, plugin):
            self.calls += 1
            if self.calls <= deaths:
                raise OSError("Stream is closed")

    monkeypatch.setattr(songs_on_dask.time, "sleep", lambda seconds: None)
    client = Client()
    expected = pytest.raises(OSError) if deaths > 5 else contextlib.nullcontext()
    with expected:
        songs_on_dask._register(client, object())
    assert client.calls == calls


def resident_mib():
    """The memory of the process that is asked."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


@pytest.mark.slow
def test_a_thousand_songs_after_a_thousand_take_no_more_memory(
    dask_client, tiny_config, tmp_path
):
    import keras

    from waveunet_tf.networks.build import build_network

    keras.utils.set_random_seed(1)
    config = dataclasses.replace(tiny_config, num_levels=4)
    network = build_network(config)
    checkpoint.save_checkpoint(tmp_path / "network", network, config)
    source = CheckpointSource.open(
        tmp_path / "network", overrides={}, engine="litert", threads=1
    )
    source.load()
    (tmp_path / "songs").mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, (2000, 2))
    soundfile.write(tmp_path / "songs" / "0.wav", noise, 8000)
    for number in range(1, 2000):
        (tmp_path / "songs" / f"{number}.wav").write_bytes(
            (tmp_path / "songs" / "0.wav").read_bytes()
        )
    done, sizes = 0, []

    def look(progress):
        nonlocal done
        done += bool(progress.written)
        if progress.written and done % 100 == 0:
            workers = dask_client.run(resident_mib).values()
            sizes.append([done, resident_mib(), *workers])

    engine = functools.partial(separate_on_dask, dask_client, source)
    options = SongOptions(output_dir=tmp_path / "stems")
    with Catalogue([tmp_path / "songs"], options, source) as catalogue:
        catalogue.run(engine, on_progress=look)
    assert catalogue.failures == []
    stems = list((tmp_path / "stems").rglob("*.wav"))
    assert len(stems) == 4000
    assert len({stem.read_bytes() for stem in stems}) == 2
    for size in sizes:
        print(*(f"{value:8.1f}" for value in size))
    count, client, *workers = np.transpose(sizes[9:])  # Caches are full by then.
    assert client[-1] - client[0] < 8  # It knows what became of each song.
    for worker in workers:
        mib_per_song = np.polyfit(count, worker, 1)[0]
        assert mib_per_song < 0.0015  # dask's profiler took 0.0025.


def test_the_box_s_model_is_loaded_by_its_name():
    source = CheckpointSource.open("vocals", overrides={}, engine="auto", threads=1)
    assert source.place == "vocals"
    assert source.load().config.sources == source.sources
    assert waveunet_tf.load("vocals").config == source.load().config
