import pytest

from waveunet_tf.checkup.sizes import (
    PRECISIONS,
    SIZES,
    Way,
    require_precisions,
    ways_of,
)
from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes


def test_each_precision_is_checked_with_and_without_xla():
    ways = ways_of(PRECISIONS, on_gpu=False)
    assert len(ways) == len(set(ways)) == 6
    assert not any(way.tf32 for way in ways)
    on_gpu = ways_of(PRECISIONS, on_gpu=True)
    assert {way for way in on_gpu if way.tf32} == {
        Way(tf32=True),
        Way(tf32=True, compiled=True),
    }


def test_a_way_is_what_its_flags_say():
    way = Way("mixed_float16", compiled=True)
    assert way.flags == "--precision mixed_float16 --jit_compile"
    assert (way.name, Way(tf32=True).name) == ("mixed_float16, XLA", "float32, TF32")
    for precision in PRECISIONS:  # as training knows them
        assert ComputeConfig(precision=precision).precision == precision


def test_a_gpu_is_measured_on_the_papers_network_and_on_long_excerpts():
    first, second = SIZES["full"].works
    assert (first.config, first.batch_size) == (VARIANTS["M5"], 16)
    assert shapes.window_frames(second.config).output_frames == 65541
    assert SIZES["full"].product == 8192


@pytest.mark.parametrize("names", [["float8"], [], ["float32", "bf16"]])
def test_unknown_precisions_are_refused_in_one_line(names):
    with pytest.raises(InputError, match="must be of float32, mixed_float16") as error:
        require_precisions(names)
    assert "\n" not in str(error.value)
    assert require_precisions(["float32", "float32"]) == ("float32",)
