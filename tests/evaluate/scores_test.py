import json
import math

import numpy as np
import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import scores


def frame(time=0.0, **metrics):
    return {"time": time, "duration": 1.0, "metrics": metrics}


def write(path, targets, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    named = [{"name": name, "frames": frames} for name, frames in targets.items()]
    path.write_text(json.dumps({"targets": named, **more}))
    return path


def test_a_track_is_read_with_all_metrics_and_times(tmp_path):
    frames = [frame(n, SDR=1 + n, ISR=2 + n, SIR=3 + n, SAR=4 + n) for n in (0, 1)]
    path = write(tmp_path / "a song.json", {"vocals": frames, "drums": frames[::1]})
    track = scores.read_track_scores(path)
    assert track.name == "a song"
    assert track.times.tolist() == [0, 1]
    assert list(track.sources) == ["vocals", "drums"]
    assert {m: v.tolist() for m, v in track.sources["drums"].items()} == {
        "SDR": [1, 2],
        "ISR": [2, 3],
        "SIR": [3, 4],
        "SAR": [4, 5],
    }


@pytest.mark.parametrize("nothing", ["NaN", "null", "Infinity", "-Infinity"])
def test_every_way_to_write_no_score_is_nan(tmp_path, nothing):
    path = tmp_path / "a.json"
    metrics = f'{{"SDR": {nothing}, "SIR": 1, "SAR": 2}}'  # and no ISR at all
    path.write_text(
        f'{{"targets": [{{"name": "bass", "frames": [{{"metrics": {metrics}}}]}}]}}'
    )
    bass = scores.read_track_scores(path).sources["bass"]
    assert math.isnan(bass["SDR"][0])
    assert math.isnan(bass["ISR"][0])
    assert (bass["SIR"][0], bass["SAR"][0]) == (1, 2)


def test_files_without_times_or_with_versions_are_read(tmp_path):
    path = write(
        tmp_path / "a.json",
        {"vocals": [{"metrics": {"SDR": 1}}, {"metrics": {"SDR": 2}}]},
        museval_version="0.4.1",
    )
    assert scores.read_track_scores(path).times.tolist() == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"targets": []}',
        '{"targets": 3}',
        '{"targets": [{"name": "vocals"}]}',
        '{"targets": [{"name": "vocals", "frames": [{"time": 0}]}]}',
        '{"targets": [{"name": "a", "frames": [{"metrics": {"SDR": "loud"}}]}]}',
        '{"targets": [{"name": "a", "frames": [{"time": null, "metrics": {}}]}]}',
        f'{{"targets": [{{"name": "a", "frames": [{{"time": {"1" * 400}}}]}}]}}',
        '{"targets": [{"name": "a", "frames": []}, {"name": "a", "frames": []}]}',
        '{"targets": [{"name": "vocals", "frames": [{"time": 0, "metr',
    ],
)
def test_what_is_not_musevals_json_is_refused_by_name(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json: must be museval's JSON"):
        scores.read_track_scores(tmp_path / "x.json")


def test_sources_of_different_length_are_refused(tmp_path):
    path = write(tmp_path / "x.json", {"a": [frame()], "b": [frame(), frame(1)]})
    with pytest.raises(InputError, match=r"x\.json: all targets .* a: 1, b: 2"):
        scores.read_track_scores(path)


def test_a_system_is_read_by_name_from_any_depth(tmp_path):
    root, other = tmp_path / "m4 [best]", tmp_path / "other disk"
    for path in ("test/b.json", "test/deep/a.json", "c.json"):
        write(root / path, {"vocals": [frame(SDR=3)]})
    write(other / "d.json", {"vocals": [frame(SDR=3)]})
    (root / "valid").symlink_to(other)
    (root / "latest").symlink_to(root / "test")
    (root / "test" / "loop").symlink_to(root)
    (root / "test" / ".part-1-x").mkdir()
    (root / "test" / ".part-1-x" / ".x.json").write_text("half")
    system = scores.read_system(root)
    assert list(system) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(system["a"].sources["vocals"]["SDR"], [3])


def test_a_broken_file_is_named_and_the_rest_read(tmp_path):
    write(tmp_path / "a.json", {"vocals": [frame(SDR=3)]})
    (tmp_path / "b.json").write_text('{"targets": [')
    with pytest.raises(InputError, match=r"b\.json"):
        scores.read_system(tmp_path)
    errors = []
    assert list(scores.read_system(tmp_path, left_out=errors.append)) == ["a"]
    assert [str(error).split(": ")[0] for error in errors] == [str(tmp_path / "b.json")]


def test_no_folder_no_scores_and_two_of_a_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="must be a folder of museval's JSON"):
        scores.read_system(tmp_path / "nowhere")
    with pytest.raises(InputError, match="must hold museval's JSON files"):
        scores.read_system(tmp_path)
    for subset in ("test", "train"):
        write(tmp_path / subset / "a.json", {"vocals": [frame(SDR=3)]})
    with pytest.raises(InputError, match=r"train/a\.json: tracks must have different"):
        scores.read_system(tmp_path)
