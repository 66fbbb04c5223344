import itertools

import pytest

from waveunet_tf.data.stem_sums import stems_of, stems_of_sources
from waveunet_tf.errors import InputError

MUSDB = ("bass", "drums", "other", "vocals")


@pytest.mark.parametrize("name", MUSDB)
def test_a_stem_is_its_own_sum(name):
    assert stems_of(name, MUSDB) == (name,)


@pytest.mark.parametrize(
    ("names", "vocals_may_lack", "stems"),
    [
        (MUSDB, False, ("bass", "drums", "other")),
        (("accompaniment", *MUSDB), False, ("accompaniment",)),
        (("bass", "drums"), False, ()),
        (("bass", "drums"), True, ("bass", "drums")),
        (("vocals",), True, ()),
        ((), True, ()),
    ],
)
def test_an_accompaniment_is_all_but_the_vocals(names, vocals_may_lack, stems):
    found = stems_of("accompaniment", names, vocals_may_lack=vocals_may_lack)
    assert found == stems


def test_an_unknown_source_has_no_stems():
    assert stems_of("piano", MUSDB) == ()
    assert stems_of("piano", MUSDB, vocals_may_lack=True) == ()


def test_the_stems_of_a_networks_sources_do_not_depend_on_their_order():
    expected = (("bass", "drums", "other"), ("vocals",))
    for names in itertools.permutations(MUSDB):
        assert stems_of_sources(("accompaniment", "vocals"), names, "x") == expected


def test_missing_sources_are_named_with_their_place():
    with pytest.raises(InputError) as error:
        stems_of_sources(("piano", "vocals", "choir"), MUSDB, "data: train/a")
    assert str(error.value).startswith("data: train/a must have the network's sources")
    assert "but lacks piano, choir; `prepare --sources` makes them" in str(error.value)


@pytest.mark.parametrize(
    ("merges", "text"),
    [
        ({"rhythm": ["bass", "drums"]}, "rhythm and drums both hold drums"),
        ({"rhythm": ["other", "vocals"]}, "rhythm and other both hold other"),
        ({"other": ["x", "vocals"]}, "other and vocals both hold vocals"),
    ],
)
def test_an_accompaniment_of_stems_that_overlap_is_refused(merges, text):
    names = ["drums", "rhythm", "vocals"] + (["other"] if "other" in text else [])
    sources = ("accompaniment", "vocals")
    with pytest.raises(InputError, match=text):
        stems_of_sources(sources, names, "here:", merges)


def test_merges_that_do_not_overlap_sum_to_the_accompaniment():
    merges = {"rhythm": ["bass", "drums"], "accompaniment": ["bass", "drums", "other"]}
    names, sources = ["other", "rhythm", "vocals"], ("accompaniment", "vocals")
    expected = (("other", "rhythm"), ("vocals",))
    assert stems_of_sources(sources, names, "here:", merges) == expected
    # A stem of that name is the accompaniment, whatever lies beside it.
    names += ["accompaniment", "drums"]
    stems = stems_of_sources(sources, names, "here:", merges)
    assert stems == (("accompaniment",), ("vocals",))
