import json
import math
import tarfile

import pytest

from evaluate import summary
from waveunet_tf.errors import InputError


def write_scores(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [{"time": n, "metrics": {"SDR": value}} for n, value in enumerate(values)]
    path.write_text(json.dumps({"targets": [{"name": "vocals", "frames": frames}]}))


def summarize_folder(path):
    return summary.summarize(summary.score_files(path))


def test_the_originals_published_statistics_come_out(shared_data, tmp_path):
    archive = shared_data / "sisec2018-stl1" / "stl1-test-json.tar.gz"
    with tarfile.open(archive) as file:
        file.extractall(tmp_path)
    scores = summarize_folder(tmp_path)
    published = {  # median, MAD, mean, SD, median of track medians
        "vocals": (4.46, 3.21, 0.65, 13.67, 4.97),
        "accompaniment": (10.69, 3.15, 11.85, 7.03, 11.11),
    }
    for source, values in published.items():
        ours = scores[source]
        assert (ours.median, ours.mad, ours.mean, ours.sd, ours.track_median) == (
            pytest.approx(values, abs=0.0051)
        )
    assert (scores["vocals"].frames, scores["vocals"].nan_frames) == (12439, 2799)


def test_nan_frames_are_counted_and_left_out(tmp_path):
    write_scores(tmp_path / "test" / "a.json", [1, 2, math.nan, 9])
    write_scores(tmp_path / "test" / "b.json", [math.nan, math.nan])
    write_scores(tmp_path / "test" / "c.json", [4])
    vocals = summarize_folder(tmp_path)["vocals"]
    assert vocals.median == 3
    assert vocals.mad == 1.5
    assert vocals.mean == 4
    assert vocals.sd == pytest.approx(math.sqrt((9 + 4 + 25 + 0) / 4))
    assert vocals.track_median == 3
    assert (vocals.frames, vocals.nan_frames) == (7, 3)


def test_a_source_without_any_score_is_nan(tmp_path):
    write_scores(tmp_path / "a.json", [math.nan])
    assert math.isnan(summarize_folder(tmp_path)["vocals"].median)


@pytest.mark.parametrize("text", ["", "{}", '{"targets": [{"name": "vocals"}]}'])
def test_what_is_not_musevals_json_is_refused_by_name(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json: must be museval's JSON"):
        summarize_folder(tmp_path)


def test_a_folder_without_scores_is_refused(tmp_path):
    with pytest.raises(InputError, match="must hold museval's JSON files"):
        summarize_folder(tmp_path)


def test_the_table_has_a_line_a_system_and_source(tmp_path):
    write_scores(tmp_path / "a.json", [1.234, 5])
    table = summary.format_table({"ours": summarize_folder(tmp_path)})
    heading, line = table.splitlines()
    assert heading.split()[:4] == ["SDR", "(dB)", "source", "median"]
    assert line.split() == "ours vocals 3.12 1.88 3.12 1.88 3.12 2 0".split()
