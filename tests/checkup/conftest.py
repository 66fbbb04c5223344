"""Sizes of checks for tests: as small as networks can be."""

import dataclasses

import pytest

from tests.training.trainings import MINI
from waveunet_tf.checkup.sizes import SIZES, Work

MINI_M5 = dataclasses.replace(MINI, upsampling="learned")
MINI_SIZES = dataclasses.replace(
    SIZES["tiny"],
    small=MINI_M5,
    steps=3,
    works=(Work("mini", MINI_M5, 4),),
    product=64,
    seconds=0.05,
)


@pytest.fixture
def mini_sizes():
    return MINI_SIZES
