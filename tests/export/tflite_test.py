import dataclasses
import io
import json
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import waveunet_tf
from export import (
    calibration,
    file_description,
    parity,
    parity_songs,
    parity_tables,
    quantize,
    tflite,
)
from export.kinds import CALIBRATED, KINDS
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.separation import tflite_file
from waveunet_tf.separation.separator import load_tflite_separator

CHUNK = 1024


def save_network(directory, config, seed=1):
    keras.utils.set_random_seed(seed)
    network = build_network(config)
    checkpoint.save_checkpoint(directory, network, config)
    return network


def music(frames, channels=2):
    """Tones and noise, which have the peaks and the tails of music."""
    generator = np.random.default_rng(5)
    time = np.arange(frames)[:, None]
    tones = np.sin(time * generator.uniform(0.01, 0.3, (1, channels)))
    loud = 0.3 * tones + generator.laplace(0, 0.05, (frames, channels))
    return loud.clip(-1, 1).astype(np.float32)


def export(directory, path, *, mode="streaming", chunk=CHUNK, kind="float32"):
    """Writes a file of a checkpoint."""
    plan = tflite.plan(directory, mode, chunk)
    excerpts = [music(6 * CHUNK, plan.config.channels)]
    ((_, content),) = quantize.convert_plan(plan, [kind], excerpts)
    path.write_bytes(content)
    return content


def one_pass(config, network, song):
    """The Keras network once over the song, with silence before and after it."""
    window = shapes.window_frames(config, len(song))
    context = window.context_frames
    after = window.input_frames - context - len(song)
    padded = np.pad(song, ((context, after), (0, 0)))[None]
    return {
        name: np.asarray(stem)[0, : len(song)]
        for name, stem in network(padded.astype("f")).items()
    }


def run_from_metadata_alone(content, song):
    """Streams as the metadata says, on bare LiteRT; knows nothing of this project."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        told = json.loads(archive.read(name))
    interpreter = Interpreter(model_content=content)
    state = interpreter.get_signature_runner("initial_state")()
    step = interpreter.get_signature_runner("separate")
    assert {n: list(v.shape) for n, v in state.items()} == {
        entry["name"]: entry["shape"] for entry in told["states"]
    }
    frames, latency = told["chunk_frames"], told["latency_frames"]
    after = -(len(song) + latency) % frames + latency
    padded = np.pad(song, ((0, after), (0, 0)))
    blocks = {source: [] for source in told["sources"]}
    for start in range(0, len(padded), frames):
        chunk = padded[None, None, start : start + frames]
        outputs = step(mixture=chunk, **state)
        state = {entry["name"]: outputs[entry["name"]] for entry in told["states"]}
        for source, own in blocks.items():
            own.append(outputs[source][0, 0])
    return {
        source: np.concatenate(own)[latency : latency + len(song)]
        for source, own in blocks.items()
    }


@pytest.mark.parametrize(
    ("chunk", "change"),
    [
        (8, {}),
        (1024, {"upsampling": "learned", "sources": ("bass", "drums", "vocals")}),
        (64, {"output_type": "direct", "output_activation": "linear", "channels": 1}),
        (1024, {"output_kernel_size": 3, "down_kernel_size": 1, "up_kernel_size": 1}),
    ],
    ids=str,
)
def test_a_stream_from_the_metadata_alone_equals_the_network(
    tiny_config, tmp_path, change, chunk
):
    config = dataclasses.replace(tiny_config, **change)
    network = save_network(tmp_path / "c", config)
    content = export(tmp_path / "c", tmp_path / "x.tflite", chunk=chunk)
    song = music(501, config.channels)
    actual = run_from_metadata_alone(content, song)
    for source, stem in one_pass(config, network, song).items():
        np.testing.assert_allclose(actual[source], stem, atol=1e-5)


def test_the_metadata_tells_the_network_in_the_model_and_in_the_archive(
    tiny_checkpoint, tiny_config, tmp_path
):
    content = export(tiny_checkpoint, tmp_path / "x.tflite", kind="dynamic")
    told = tflite_file.read_metadata("x", content)
    assert told["network"] == {
        "architecture": "wave_u_net",
        **tiny_config.to_dict(),
    }
    assert told["sample_rate_hz"] == 8000 and told["channels"] == 2
    assert told["latency_frames"] == shapes.stream_plan(tiny_config).latency_frames
    assert told["quantization"] == "dynamic"
    with zipfile.ZipFile(tmp_path / "x.tflite") as archive:
        assert json.loads(archive.read("waveunet_config.json")) == told


@pytest.mark.parametrize(
    ("mode", "change"),
    [
        ("streaming", {}),
        ("window", {"output_frames": 100, "output_type": "direct", "channels": 1}),
        ("window", {"context": False}),
        ("window", {"upsampling": "transposed"}),
    ],
    ids=str,
)
def test_a_song_is_separated_by_a_file_as_by_its_checkpoint(
    tiny_config, tmp_path, mode, change
):
    config = dataclasses.replace(tiny_config, **change)
    save_network(tmp_path / "c", config)
    export(tmp_path / "c", tmp_path / "x.tflite", mode=mode)
    song = music(3333)
    separator = load_tflite_separator(tmp_path / "x.tflite")
    actual = separator.separate(song, 11025)
    expected = waveunet_tf.load(tmp_path / "c", engine="tensorflow").separate(
        song, 11025
    )
    assert separator.config == config
    assert list(actual) == list(expected)
    for source, stem in expected.items():
        assert actual[source].shape == stem.shape
        np.testing.assert_allclose(actual[source], stem, atol=1e-5)


def test_each_kind_is_as_near_to_the_network_as_its_numbers_allow(
    tiny_checkpoint, tiny_config, tmp_path
):
    plan = tflite.plan(tiny_checkpoint, "streaming", CHUNK)
    song = music(4000)
    network = waveunet_tf.load_network(tiny_checkpoint)
    expected = one_pass(tiny_config, network, song)
    decibels = {}
    for kind, content in quantize.convert_plan(plan, list(KINDS), [music(6000)]):
        (tmp_path / f"{kind}.tflite").write_bytes(content)
        actual = run_from_metadata_alone(content, song)
        noise = sum(np.sum((actual[n] - expected[n]) ** 2) for n in expected)
        signal = sum(np.sum(stem**2) for stem in expected.values())
        decibels[kind] = 10 * np.log10(signal / noise)
    assert decibels["float32"] > 100
    assert 60 < decibels["float16"] < 100
    assert 35 < decibels["int16x8"] < decibels["float16"]
    assert 15 < decibels["int8"] < decibels["mixed"] - 3

    for kind in KINDS:
        description = file_description.describe_tflite_file(tmp_path / f"{kind}.tflite")
        assert description.metadata["quantization"] == kind
        assert not any(name.startswith("Flex") for name in description.operations)
        assert "TILE" not in description.operations
        assert ("QUANTIZE" in description.operations) == (kind in CALIBRATED)


def test_a_state_has_one_scale_for_as_long_as_it_waits(tiny_checkpoint):
    """Else each chunk would round it anew, and errors would grow with the song."""
    plan = tflite.plan(tiny_checkpoint, "streaming", 16)
    ((_, content),) = quantize.convert_plan(plan, ["int8"], [music(3000)])
    interpreter = Interpreter(model_content=content)
    step = interpreter.get_signature_runner("separate")
    state = interpreter.get_signature_runner("initial_state")()
    song = music(320)
    for start in range(0, len(song), 16):
        outputs = step(mixture=song[None, None, start : start + 16], **state)
        before, state = state, {name: outputs[name] for name in state}
        for name in state if start else ():  # silence is not rounded yet
            kind, level = f"{name}_0".split("_")[1:3]
            levels = {"upsample": 1, "bottleneck": 3}.get(kind, 0)
            levels += int(level) if level.isdigit() else 0
            came = 16 >> levels
            kept = before[name][:, :, came:]
            np.testing.assert_array_equal(state[name][:, :, : kept.shape[2]], kept)


def test_all_operations_of_the_step_are_for_the_gpu_delegate(tiny_checkpoint, tmp_path):
    export(tiny_checkpoint, tmp_path / "x.tflite")
    assert file_description.gpu_incompatibilities(tmp_path / "x.tflite") == []


def test_multiply_adds_are_those_of_the_exact_stream(tiny_checkpoint, tmp_path):
    """By hand: 4 first filters, 3 levels, kernels of 15 and 5; merges at two rates."""
    export(tiny_checkpoint, tmp_path / "x.tflite", chunk=64)
    description = file_description.describe_tflite_file(tmp_path / "x.tflite")
    down = 64 * 15 * 2 * 4 + 32 * 15 * 4 * 8 + 16 * 15 * 8 * 12 + 8 * 15 * 12 * 16
    up = 0
    for level, (skip, low) in enumerate([(4, 8), (8, 12), (12, 16)]):
        frames = 64 >> level
        up += frames * 5 * skip * skip  # over the skip
        # Four taps over the features below, for two frames of output side by side.
        up += (frames // 2) * 4 * low * 2 * skip
    assert description.multiply_adds == down + up + 64 * 6 * 2
    assert description.multiply_adds_per_second == pytest.approx(
        description.multiply_adds * 8000 / 64
    )


def test_multiply_adds_of_integers_count_what_upsamples_and_copies(
    tiny_checkpoint, tmp_path
):
    """By hand, as above, but merges over both at once, and two or one tap a feature."""
    export(tiny_checkpoint, tmp_path / "x.tflite", chunk=64, kind="int8")
    down = 64 * 15 * 2 * 4 + 32 * 15 * 4 * 8 + 16 * 15 * 8 * 12 + 8 * 15 * 12 * 16
    up = 0
    for level, (skip, low) in enumerate([(4, 8), (8, 12), (12, 16)]):
        frames = 64 >> level
        up += frames * 5 * (skip + low) * skip
        up += (frames + 4) * skip  # copies the skip, with four frames before it
        up += 2 * (frames // 2 + 2) * 2 * low  # a frame between two, and a copied one
    outputs = 64 * 2 + 64 * 6 * 2  # copies the mixture
    description = file_description.describe_tflite_file(tmp_path / "x.tflite")
    assert description.multiply_adds == down + up + outputs


@pytest.mark.parametrize(
    ("change", "chunk", "message"),
    [
        ({"context": False}, CHUNK, "--mode window takes this one"),
        ({"upsampling": "transposed"}, CHUNK, "--mode window takes this one"),
        ({}, 12, "`chunk_frames` must be a multiple of .* = 8. Received: 12"),
        ({}, 0, "`chunk_frames` must be a multiple of .* Received: 0"),
    ],
    ids=str,
)
def test_what_cannot_stream_is_refused(tiny_config, tmp_path, change, chunk, message):
    save_network(tmp_path, dataclasses.replace(tiny_config, **change))
    with pytest.raises(InputError, match=message):
        tflite.plan(tmp_path, "streaming", chunk)


@pytest.mark.parametrize("mode", tflite.MODES)
def test_a_spectrogram_network_is_refused_in_each_mode(tmp_path, mode):
    config = SpectrogramUNetConfig(
        num_levels=2, base_filters=2, fft_frames=16, hop_frames=8, output_frames=40
    )
    save_network(tmp_path, config)
    with pytest.raises(InputError, match="TFLite has no inverse Fourier transform"):
        tflite.plan(tmp_path, mode)


def test_a_truncated_tflite_is_refused(tiny_checkpoint, tmp_path):
    content = export(tiny_checkpoint, tmp_path / "x.tflite")
    for size in (9, 100, len(content) // 2):
        (tmp_path / "x.tflite").write_bytes(content[:size])
        with pytest.raises(InputError, match=r"x\.tflite: must"):
            load_tflite_separator(tmp_path / "x.tflite")


@pytest.mark.parametrize("content", [b"", b"no model", b"\0\0\0\0TFL4" + bytes(99)])
def test_a_file_that_is_no_tflite_is_refused(tmp_path, content):
    (tmp_path / "x.tflite").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.tflite: must be a TFLite file"):
        load_tflite_separator(tmp_path / "x.tflite")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"format_version": 2', b'"format_version": 9', "must be 2. Received: 9"),
        (b'"chunk_frames"', b'"chink_frames"', "lacks 'chunk_frames'"),
        (b'"num_levels": 3', b'"num_levels": 4', "its inputs must be those"),
        (b"waveunet_config", b"waveumet_config", "must carry the metadata"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    tiny_checkpoint, tmp_path, old, new, message
):
    content = export(tiny_checkpoint, tmp_path / "x.tflite")
    other = content.replace(old, new)
    assert other != content
    (tmp_path / "x.tflite").write_bytes(other)
    with pytest.raises(InputError, match=rf"x\.tflite: .*{message}"):
        load_tflite_separator(tmp_path / "x.tflite")


def test_calibration_reads_mixtures_of_the_networks_rate(tiny_config, tmp_path):
    import soundfile

    with pytest.raises(InputError, match="must be a folder with audio files, but has"):
        calibration.read_excerpts(tmp_path, tiny_config)
    for number in range(20):
        folder = tmp_path / "train" / f"{number:02}"
        folder.mkdir(parents=True)
        song = np.full((8000 * 9, 1), number / 100)
        soundfile.write(folder / "mixture.wav", song, 8000, subtype="FLOAT")
        soundfile.write(folder / "vocals.wav", song, 8000)
    excerpts = calibration.read_excerpts(tmp_path, tiny_config)
    assert [round(100 * float(e[0, 0])) for e in excerpts] == [0, 3, 6, 9, 12, 15, 18]
    assert all(excerpt.shape == (8000 * 6, 2) for excerpt in excerpts)
    soundfile.write(tmp_path / "train" / "00" / "mixture.wav", song, 44100)
    with pytest.raises(InputError, match="00/mixture.wav: .* 8000 Hz.* 44100 Hz"):
        calibration.read_excerpts(tmp_path, tiny_config)


def test_snr_is_of_seconds_in_which_something_is_heard():
    rate_hz, signal = 100, np.full((450, 1), 0.5)
    signal[100:200] = 0
    noisy = signal.copy()
    noisy[:100] += 0.05  # 20 dB below
    noisy[200:300] += 0.005  # 40 dB below
    noisy[300:] += 0.0005
    decibels = parity.signal_to_noise_db({"x": signal}, {"x": noisy}, rate_hz)
    np.testing.assert_allclose(decibels, [20, 40, 60, 60][: len(decibels)])
    assert len(decibels) == 3  # of the half second at the end nothing


def row(kind, snr_db):
    return parity.ParityRow(
        f"{kind}.tflite", kind, 1.0, snr_db, 1.0, {}, 1.0, 1.0, 1.0, 1.0
    )


def test_what_is_below_its_floor_fails():
    good = [row("float32", 101), row("int8", 22), row("mixed", 28)]
    assert parity_tables.floor_failures(good) == []
    assert (
        parity_tables.floor_failures([row("mixed", 5)]) == []
    )  # nothing to compare it with
    below = [row("float32", 99), row("int8", float("nan")), row("int16x8", 39.9)]
    assert len(parity_tables.floor_failures(below)) == 3
    (line,) = parity_tables.floor_failures([row("int8", 22), row("mixed", 27.9)])
    assert "at least 6 dB above int8's. Received: +5.9 dB" in line


def test_parity_sees_other_weights_and_another_network(
    tiny_checkpoint, tiny_config, tmp_path
):
    export(tiny_checkpoint, tmp_path / "x.tflite")
    song = parity_songs.ParitySong("song", music(12_000), {})
    (own,) = parity.measure_files([tmp_path / "x.tflite"], tiny_checkpoint, [song])
    assert own.snr_db > 100 and own.sdr_change_db == {}
    assert own.mib == pytest.approx((tmp_path / "x.tflite").stat().st_size / 2**20)
    assert own.peak_mib > 20 and own.factor_1 > 0 and own.load_seconds > 0
    save_network(tmp_path / "other", tiny_config, seed=2)
    (row,) = parity.measure_files([tmp_path / "x.tflite"], tmp_path / "other", [song])
    assert row.snr_db < 20
    save_network(tmp_path / "third", dataclasses.replace(tiny_config, base_filters=5))
    with pytest.raises(InputError, match="must be of the checkpoint"):
        parity.measure_files([tmp_path / "x.tflite"], tmp_path / "third", [song])
