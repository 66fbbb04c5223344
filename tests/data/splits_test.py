import pytest

from waveunet_tf.data import splits
from waveunet_tf.data.sigsep import musdb_setup
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError


def tracks_of(names, subset="train"):
    return [Track(name, subset, {}) for name in names]


def validation(tracks, how):
    return [
        track.name for track in splits.split(tracks, how) if track.subset == "valid"
    ]


def test_the_papers_split_takes_its_25_of_100_in_sorted_order():
    names = [f"{number:03}" for number in range(100)]
    tracks = tracks_of(names[::-1]) + tracks_of(["t"], "test")
    # The design's list, as derived from the original's seed.
    expected = (
        "2 10 11 15 17 30 32 36 43 44 48 50 52 53 56 59 63 70 73 76 79 81 86 87 91"
    )
    assert sorted(map(int, validation(tracks, "paper"))) == [
        int(number) for number in expected.split()
    ]
    with pytest.raises(InputError, match="100 .*tracks. Received: 99 training tracks"):
        splits.split(tracks_of(names[:99]), "paper")


def test_musdbs_split_takes_the_official_names():
    official = musdb_setup()["validation_tracks"]
    assert len(official) == 14
    tracks = tracks_of([*official, "another"])
    assert sorted(validation(tracks, "musdb")) == sorted(official)


def test_a_fraction_is_chosen_by_name_whatever_else_is_there():
    names = [f"song {number}" for number in range(1000)]
    chosen = set(validation(tracks_of(names), "fraction:0.1"))
    assert 70 < len(chosen) < 130
    some = names[300:400]
    assert set(validation(tracks_of(some), "fraction:0.1")) == chosen & set(some)
    assert set(validation(tracks_of(names), "fraction:0.2")) > chosen
    assert len(validation(tracks_of(names), "fraction:1e-9")) == 1


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("none", ["2 tracks of valid are for training, by the rule none (c, …)"]),
        ("d\n", ["1 track of valid is for training, by the rule {path} (c)"]),
        ("c\nd\n", []),
    ],
)
def test_who_takes_tracks_out_of_validation_is_told(tmp_path, caplog, how, told):
    path = tmp_path / "names.txt"
    path.write_text(how)
    tracks = tracks_of(["a", "b"]) + tracks_of(["c", "d"], "valid")
    validation(tracks, how if how == "none" else str(path))
    assert caplog.messages == [line.format(path=path) for line in told]


def test_a_list_names_the_tracks_and_earlier_ones_go_back(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("b\n\n  c \n")
    tracks = tracks_of(["a", "b"]) + tracks_of(["c", "d"], "valid")
    assert validation(tracks, str(path)) == ["b", "c"]
    assert validation(tracks, "none") == []
    path.write_text("Bj\u00f6rk\n", "utf-8")  # as an editor writes it
    macs = "Bjo\u0308rk"
    assert validation([*tracks, *tracks_of([macs])], str(path)) == [macs]
    path.write_text("x\n")
    with pytest.raises(InputError, match="names of training tracks, but 'x' is none"):
        splits.split(tracks, str(path))


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])  # as Notepad begins a file
def test_a_list_of_other_bytes_names_the_tracks_of_the_same_bytes(start, tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(start + "café\n".encode() + b"caf\xe9\n")  # UTF-8, Latin-1
    tracks = tracks_of(["café", "caf\udce9", "tea"])  # as Python names such folders
    assert validation(tracks, str(path)) == ["café", "caf\udce9"]
    with pytest.raises(InputError, match="names of training tracks, but 'caf"):
        splits.split(tracks_of(["café", "tea"]), str(path))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fraction:0", "a fraction between 0 and 1"),
        ("fraction:1", "a fraction between 0 and 1"),
        ("fraction:x", "a fraction between 0 and 1"),
        ("fraction:0.999", "must leave tracks for training"),
        ("papers", "papers, which is no file"),
    ],
)
def test_what_is_no_split_is_refused(how, message):
    with pytest.raises(InputError, match=message):
        splits.split(tracks_of(["a"]), how)
