"""Finished trainings, for all tests that only read them or are refused by them."""

import pytest

from tests.training.trainings import MINI, QUICK, run
from waveunet_tf.configs.training import ComputeConfig


@pytest.fixture(scope="session")
def finished_dir(kept_stems_dir, tmp_path_factory):
    """The workdir of a training of MINI by QUICK, with pictures. Never change it."""
    workdir = tmp_path_factory.mktemp("finished") / "work"
    run(MINI, QUICK, kept_stems_dir, workdir, illustrate=True)
    return workdir


@pytest.fixture(scope="session")
def float16_dir(kept_stems_dir, tmp_path_factory):
    """The workdir of the same training in float16. Never change it."""
    workdir = tmp_path_factory.mktemp("float16") / "work"
    compute = ComputeConfig(precision="mixed_float16")
    run(MINI, QUICK, kept_stems_dir, workdir, compute=compute)
    return workdir
