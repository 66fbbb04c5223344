import pytest

from waveunet_tf.checkup import agreement
from waveunet_tf.checkup.findings import OK, WRONG, Findings
from waveunet_tf.export import saved_model
from waveunet_tf.separation.separator import Separator


@pytest.fixture
def checkpoint_dir(tmp_path, mini_sizes):
    agreement.save_small_checkpoint(tmp_path / "checkpoint", mini_sizes)
    return tmp_path / "checkpoint"


def statuses(sizes, checkpoint_dir, saved_model_dir=None):
    findings = Findings("right")
    agreement.check_agreement(findings, sizes, "CPU:0", checkpoint_dir, saved_model_dir)
    return {finding.name: finding.status for finding in findings.found}


@pytest.mark.slow
def test_a_song_and_a_saved_model_agree_with_one_pass(
    tmp_path, mini_sizes, checkpoint_dir
):
    saved_model.write_saved_model(checkpoint_dir, tmp_path / "1", chunk_frames=512)
    found = statuses(mini_sizes, checkpoint_dir, tmp_path / "1")
    assert found == {"a song": OK, "the SavedModel": OK}


def test_a_separation_that_is_off_by_a_thousandth_is_found(
    mini_sizes, checkpoint_dir, monkeypatch
):
    separate = Separator.separate

    def planted(self, song, rate_hz):
        stems = separate(self, song, rate_hz)
        stems["vocals"][10] += 1e-3
        return stems

    monkeypatch.setattr(Separator, "separate", planted)
    assert statuses(mini_sizes, checkpoint_dir) == {"a song": WRONG}


def test_a_source_that_is_no_number_is_found_in_any_place():
    """Python's max would forget a NaN that is not the first."""
    for bad in ("one", "other"):
        stems = {"one": [0.0, 0.5], "other": [0.0, 0.5]}
        broken = {**stems, bad: [0.0, float("nan")]}
        findings = Findings("right")
        agreement._compare(findings, "a window", broken, stems)
        assert [finding.status for finding in findings.found] == [WRONG]
