"""Finished trainings, for all tests that only read them or are refused by them."""

import pytest

from tests.training.trainings import COSINE, MINI, MINI_U7, QUICK, U7, run
from waveunet_tf.configs.training import ComputeConfig


def pytest_itemcollected(item):
    """Keeps all tests of the finished training in one process, which trains once."""
    if "finished_dir" in item.fixturenames:
        item.add_marker(pytest.mark.xdist_group("finished_training"))


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


@pytest.fixture(scope="session")
def u7_dir(kept_stems_dir, tmp_path_factory):
    """The same of MINI_U7, which has dropout, by U7."""
    workdir = tmp_path_factory.mktemp("u7") / "work"
    run(MINI_U7, U7, kept_stems_dir, workdir)
    return workdir


@pytest.fixture(scope="session")
def cosine_dir(kept_stems_dir, tmp_path_factory):
    """The same by COSINE, with averages of the weights, best by its SDR."""
    workdir = tmp_path_factory.mktemp("cosine") / "work"
    run(MINI, COSINE, kept_stems_dir, workdir)
    return workdir
