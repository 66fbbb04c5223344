import json

import numpy as np
import pytest
import soundfile

from tests.command_line import check_refusal, run_here
from waveunet_tf.data import manifest as manifests
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.estimates import EstimateLevels, Estimates, read_estimates
from waveunet_tf.data.manifest import Settings
from waveunet_tf.data.preparation import prepare_tracks
from waveunet_tf.data.tracks import Mending
from waveunet_tf.errors import InputError

TEACHER = {"kind": "checkpoint", "name": "wise", "sha256": "ab" * 32}
ESTIMATES = Estimates(("vocals",), TEACHER)
RATE_HZ = 8000
DASK = pytest.mark.xdist_group("dask")
SETTINGS = Settings(
    RATE_HZ,
    ("accompaniment", "vocals"),
    bit_depth=32,
    mending=Mending(rest="accompaniment"),
)


def noise(seed, level=0.1):
    return np.random.default_rng(seed).normal(0, level, (4000, 2)).astype(np.float32)


def write_track(folder, **stems):
    folder.mkdir(parents=True)
    for name, samples in stems.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE_HZ, subtype="FLOAT")


@pytest.fixture
def taught_dir(tmp_path):
    """Two tracks of mixture and vocals, of which a teacher estimated the first's."""
    for number, name in enumerate(("song", "true")):
        vocals = noise(10 + number)
        folder = tmp_path / "taught" / "train" / name
        write_track(folder, mixture=vocals + noise(20 + number), vocals=vocals)
    tracks = {"train/song": {"estimates": ESTIMATES.to_dict()}}
    (tmp_path / "taught" / "manifest.json").write_text(
        json.dumps({"kind": "taught", "tracks": tracks})
    )
    return tmp_path / "taught"


@pytest.fixture(params=["here", "beam", pytest.param("dask", marks=DASK)])
def where(request):
    """The arguments by which tracks are prepared here, on Beam and on dask."""
    if request.param == "beam":
        pytest.importorskip("apache_beam", reason="needs requirements-beam.txt")
        return {"pipeline_runner": "DirectRunner"}
    if request.param == "dask":
        client = request.getfixturevalue("dask_client")
        return {"scheduler": client.scheduler.address}
    return {}


def test_the_missing_source_is_the_mixture_less_the_others(
    taught_dir, tmp_path, where, caplog
):
    """Told in the log and in the manifest, wherever it is done."""
    caplog.set_level("INFO", logger="absl")
    output = tmp_path / "out"
    assert prepare_tracks(find_tracks(taught_dir), output, SETTINGS, **where) == []
    for number, name in enumerate(("song", "true")):
        rest, _ = soundfile.read(output / "train" / name / "accompaniment.wav")
        np.testing.assert_allclose(rest, noise(20 + number), atol=1e-6)
    song, true = manifests.read_manifest(output)["tracks"].values()
    assert song["rest"] == true["rest"] == "accompaniment"
    assert song["estimates"] == {
        "stems": ["accompaniment", "vocals"],
        "teacher": TEACHER,
    }
    assert "estimates" not in true
    assert (
        "accompaniment is the mixture less the other sources in 2 of 2 tracks"
        in caplog.text
    )
    assert "1 of 2 tracks have a teacher's estimates" in caplog.text
    assert prepare_tracks(find_tracks(taught_dir), output, SETTINGS) == []  # goes on


def test_a_stem_of_the_name_is_no_rest(tmp_path):
    true = noise(3, 0.01)
    write_track(
        *[tmp_path / "in" / "train" / "song"],
        **{"mixture": noise(1), "vocals": noise(2), "accompaniment": true},
    )
    prepare_tracks(find_tracks(tmp_path / "in"), tmp_path / "out", SETTINGS)
    written, _ = soundfile.read(tmp_path / "out/train/song/accompaniment.wav")
    np.testing.assert_allclose(written, true, atol=1e-7)
    entry = manifests.read_manifest(tmp_path / "out")["tracks"]["train/song"]
    assert "rest" not in entry


@pytest.mark.parametrize(
    ("stems", "text"),
    [
        ({"vocals": noise(1)}, "must have a file mixture, of which accompaniment is"),
        ({"mixture": noise(1), "drums": noise(2)}, "has no source vocals"),
        (
            {"mixture": noise(1), "vocals": noise(2, 0.5)},
            "at most 6 dB louder than its mixture. Received: vocals, 14.",
        ),
        (
            {"mixture": 0 * noise(1), "vocals": noise(1)},
            "the mixture of estimates must have sound. Received: silence throughout",
        ),
        (
            {"mixture": noise(1), "vocals": noise(2)[:-1]},
            "must agree in length. Received: vocals.wav: 3999 frames; mixture.wav: 40",
        ),
    ],
)
def test_no_rest_is_taken_of_what_does_not_fit(tmp_path, stems, text):
    write_track(tmp_path / "in" / "train" / "song", **stems)
    tracks = find_tracks(tmp_path / "in")
    (problem,) = prepare_tracks(tracks, tmp_path / "out", SETTINGS)
    assert problem.startswith("train/song: ")
    assert text in problem
    assert not (tmp_path / "out" / "train").exists()


def test_without_the_flag_a_missing_source_is_refused_with_a_hint(taught_dir, tmp_path):
    settings = Settings(RATE_HZ, ("accompaniment", "vocals"))
    problems = prepare_tracks(find_tracks(taught_dir), tmp_path / "out", settings)
    assert len(problems) == 2
    assert problems[0].endswith(
        "`prepare --rest accompaniment` takes it from the mixture"
    )


@pytest.mark.parametrize(
    ("sources", "fields"),
    [
        (("drums", "vocals"), {}),
        (("accompaniment",), {}),
        (("accompaniment", "vocals"), {"merges": {"accompaniment": ("a", "b")}}),
    ],
)
def test_a_rest_must_be_one_of_several_sources(sources, fields):
    with pytest.raises(InputError, match="`rest` must be one of two sources or more"):
        Settings(RATE_HZ, sources, mending=Mending(rest="accompaniment", **fields))


def test_prepare_plans_a_rest_and_says_so(taught_dir, tmp_path):
    command = ["waveunet_tf prepare", "--dataset=folder", f"--source={taught_dir}"]
    command += [f"--output={tmp_path / 'out'}", "--sample_rate_hz=8000"]
    result = run_here(*command, "--rest=accompaniment", "--dry_run")
    assert result.returncode == 0, result.stderr
    assert (
        "train/song: 0.5 s at 8000 Hz; accompaniment from the mixture" in result.stdout
    )
    check_refusal(run_here(*command, "--rest=bass"), 2, "`rest` must be one of two")


def test_estimates_stay_estimates_in_another_subset(taught_dir):
    for how, label in [
        ("none", "train/song"),
        (str(taught_dir / "names"), "valid/song"),
    ]:
        (taught_dir / "names").write_text("song\n")
        found = {t.label: t.estimates for t in find_tracks(taught_dir, validation=how)}
        assert found == {label: ESTIMATES, "train/true": None}
    (taught_dir / "train" / "song").rename(taught_dir / "train" / "moved")
    (taught_dir / "test").mkdir()
    (taught_dir / "train" / "moved").rename(taught_dir / "test" / "song")
    found = {track.label: track.estimates for track in find_tracks(taught_dir)}
    assert found == {"test/song": ESTIMATES, "train/true": None}


def test_estimates_stay_estimates_beside_their_manifest_and_behind_links(
    taught_dir, tmp_path
):
    found = {t.label: t.estimates for t in find_tracks(taught_dir / "train")}
    assert found == {"train/song": ESTIMATES, "train/true": None}
    (tmp_path / "mine" / "test").mkdir(parents=True)
    for link, to in {"a": "song", "b": "true"}.items():
        (tmp_path / "mine" / "test" / link).symlink_to(taught_dir / "train" / to)
    found = {track.label: track.estimates for track in find_tracks(tmp_path / "mine")}
    assert found == {"test/a": ESTIMATES, "test/b": None}


def test_what_teach_wrote_is_no_prepared_data(taught_dir):
    with pytest.raises(InputError, match="but is what `teach` wrote, from which"):
        manifests.read_manifest(taught_dir)


@pytest.mark.parametrize(
    "values",
    [
        None,
        {"stems": ["vocals"]},
        {"stems": "vocals", "teacher": TEACHER},
        {"stems": ["vocals"], "teacher": {**TEACHER, "sha256": 3}},
        {"stems": ["vocals"], "teacher": {**TEACHER, "more": "x"}},
    ],
)
def test_a_manifest_that_tells_estimates_wrongly_is_refused(taught_dir, values):
    path = taught_dir / "manifest.json"
    path.write_text(json.dumps({"tracks": {"train/song": {"estimates": values}}}))
    with pytest.raises(InputError, match="manifest.json: train/song: `estimates` must"):
        read_estimates(path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"tracks": []}', '{"tracks": {"a": 1}}'])
def test_a_manifest_of_another_kind_tells_nothing(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    assert read_estimates(tmp_path / "manifest.json") == {}
    assert read_estimates(tmp_path / "missing.json") == {}


def test_levels_are_of_the_whole_track():
    levels = EstimateLevels()
    levels.add({"mixture": np.ones((10, 2)), "a": np.zeros((10, 2))})
    levels.add({"mixture": np.zeros((10, 2)), "a": np.full((10, 2), 2.5)})
    assert levels.level_db("a") == pytest.approx(20 * np.log10(2.5))
    assert levels.is_silent("b") and not levels.is_silent("a")
    with pytest.raises(InputError, match="^x: .* Received: a, 8.0 dB louder$"):
        levels.check("x")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_estimates_must_be_finite(value):
    levels = EstimateLevels()
    levels.add({"mixture": np.ones((3, 2)), "a": np.array([[0, 0], [0, value]])})
    levels.add({"mixture": np.ones((3, 2)), "a": np.ones((3, 2))})
    text = "^x: the mixture and its estimates must be finite. Received: NaN or .* in a$"
    with pytest.raises(InputError, match=text):
        levels.check("x")


def test_a_manifest_with_names_that_are_not_utf_8_is_read(tmp_path):
    place = tmp_path / "manifest.json"
    place.write_bytes(b'{"tracks": {"train/caf\xe9": {}}}')
    assert read_estimates(place) == {}
    place.write_bytes(b'{"tracks": {"train/caf\xe9": {"estimates": 1}}}')
    with pytest.raises(InputError, match="train/caf\udce9"):
        read_estimates(place)
