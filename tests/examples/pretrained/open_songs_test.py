import json

import pytest

from tests.command_line import check_refusal, run_here

OPEN_SONGS = "examples.pretrained.open_songs"


def sort_songs(tmp_path, index, files=("a.opus", "b [live].mp3", "c.d.opus")):
    """Sorts the songs of an index."""
    source = tmp_path / "source"
    source.mkdir()
    for name in files:
        (source / name).write_text(name)
    (source / "index.json").write_text(json.dumps(index))
    return run_here(OPEN_SONGS, "--source", source, "--output", tmp_path / "output")


def test_songs_become_links_by_group_and_instrumental_ones_tracks(tmp_path):
    index = [
        {"name": "a", "group": "songs", "seconds": 3},
        {"name": "b [live]", "group": "generated"},
        {"name": "c.d", "group": "instrumental"},
    ]
    result = sort_songs(tmp_path, index)
    assert result.returncode == 0, result.stderr
    output = tmp_path / "output"
    assert result.stdout == f"{output}: 3 songs\n"
    assert {
        path.relative_to(output).as_posix(): path.read_text()
        for path in output.rglob("*")
        if path.is_file()
    } == {
        "songs/a.opus": "a.opus",
        "generated/b [live].mp3": "b [live].mp3",
        "instrumental/train/c.d/accompaniment.opus": "c.d.opus",
    }


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"name": "b", "group": "songs"}, "source: must have one song b.<"),
        ({"name": "../source/a", "group": "songs"}, "must have one song ../source/a.<"),
        ({"name": "b"}, "index.json: must list objects with a `name`, and a `group`"),
        ({"name": "a", "group": "../out"}, "a `group` of songs, generated, instrument"),
        ({"name": 3, "group": "songs"}, "Received: {'name': 3, 'group': 'songs'}"),
        (3, "Received: 3"),
    ],
)
def test_an_index_that_does_not_fit_is_refused_before_a_link_is_made(
    tmp_path, wrong, text
):
    result = sort_songs(tmp_path, [{"name": "a", "group": "songs"}, wrong])
    check_refusal(result, 1, text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_an_index_is_a_list(tmp_path):
    check_refusal(sort_songs(tmp_path, {"songs": []}), 1, "must list objects with a")
