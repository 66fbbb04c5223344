import pytest

from tests.checkpoints.conftest import edit_json
from waveunet_tf.checkpoints import card_page, registry
from waveunet_tf.errors import InputError


def test_facts_are_refused_where_a_file_is_not_as_it_was_packed(vocals):
    assert card_page.facts("vocals").startswith("| | |\n|---|---|\n| architecture | ")
    (vocals / "network.weights.h5").write_bytes(b"others")
    with pytest.raises(InputError, match="must be as it was packed"):
        card_page.facts("vocals")


def test_a_page_is_shown_although_it_is_no_utf8(vocals):
    (vocals / card_page.PAGE).write_bytes(b"\xff and more\n")
    assert card_page.card_page("vocals") == "\ufffd and more"


def test_links_of_a_page_name_files_where_they_lie(vocals):
    (vocals / "LICENSE").write_text("free")
    (vocals / card_page.PAGE).write_text(
        "[LICENSE](LICENSE), [log](../../../runs/RUNS.md#one), ![picture](x.png), "
        "[there](https://host/a), [here](#scores), [1, 2] (x)\n"
    )
    assert card_page.card_page("vocals") == (
        f"{vocals.resolve()}/LICENSE, log (runs/RUNS.md, in the source only), "
        "picture (x.png, in the source only), [there](https://host/a), "
        "[here](#scores), [1, 2] (x)"
    )


def test_the_card_of_an_alias_says_whose_it_is(monkeypatch, vocals, packed_model):
    monkeypatch.setattr(registry, "PACKAGED", packed_model.parent)
    monkeypatch.setattr(registry, "ALIASES", {"voices": "model"})
    first, *others = card_page.card_page("voices").splitlines()
    assert first.startswith("voices: the same as model")
    assert others == ["", *card_page.card_page("model").splitlines()]


def test_a_broken_card_is_named(vocals):
    edit_json(vocals / "model.json", files=3)
    with pytest.raises(InputError, match="model.json: `files` must be"):
        card_page.card_page("vocals")
