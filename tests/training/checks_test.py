import pytest
import tensorflow as tf

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.training import checks

BY_LOSS, BY_SDR = TrainingConfig(), TrainingConfig(best_by="sdr")


def test_devices_and_parts_must_divide_the_batch():
    checks.require_division(24, 4, 3)
    with pytest.raises(
        InputError, match="of 12, 4 devices times 3 `accumulate_steps`. Received: 18"
    ):
        checks.require_division(18, 4, 3)


def test_a_folder_with_results_but_no_state_is_refused(tmp_path):
    checks.refuse_used(tmp_path)
    checks.refuse_used(tmp_path / "new")
    (tmp_path / "best").mkdir()
    with pytest.raises(InputError, match=f"{tmp_path}: must be new.* but holds best "):
        checks.refuse_used(tmp_path)


def test_an_epoch_is_judged_by_its_validation_loss_if_it_has_one():
    assert checks.epoch_score(BY_LOSS, 3.0, 2.0, {"a": 1.0}) == 2
    assert checks.epoch_score(BY_LOSS, 3.0, None, None) == 3


def test_an_epoch_may_be_judged_by_its_mean_sdr():
    assert checks.epoch_score(BY_SDR, 3.0, 2.0, {"a": 5.0, "b": 1.0}) == -3


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    missing = str(tmp_path / "missing.wav")
    batches = iter(tf.data.Dataset.from_tensors(missing).map(tf.io.read_file))
    with pytest.raises(InputError, match="excerpts must be readable: .*missing.wav"):
        checks.next_batch(batches, "excerpts")
    assert checks.next_batch(iter([3]), "excerpts") == 3


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (tf.errors.UnavailableError, "but one is gone"),
        (tf.errors.AbortedError, "but one is gone"),
    ],
)
def test_errors_of_devices_are_of_the_input(error, text):
    def step(batch, stops):
        raise error(None, None, "OOM when allocating tensor\n[[and a graph]]")

    with pytest.raises(InputError, match=text) as raised:
        checks.call_on_devices(step, (), 0.0)
    assert "\n" not in str(raised.value)


def test_a_step_gets_its_batch_and_the_request_to_stop():
    batch, stops = checks.call_on_devices(lambda *given: given, ("batch",), 1.0)
    assert batch == ("batch",)
    assert float(stops) == 1
