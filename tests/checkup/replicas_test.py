"""In processes of their own: logical devices can be made once."""

import os
import sys

import pytest

from waveunet_tf.checkup import children
from waveunet_tf.checkup.findings import LEFT_OUT, OK, WRONG, read_findings

SCRIPT = """
import pathlib, sys
from tests.checkup.conftest import MINI_SIZES
from waveunet_tf.checkup import replicas
from waveunet_tf.checkup.findings import Findings
from waveunet_tf.training import step

if sys.argv[2] == "planted":  # each device keeps its own gradients
    sums = step._sum_over_devices
    step._sum_over_devices = lambda values: [*sums(values[:2]), *values[2:]]
findings = Findings("right", pathlib.Path(sys.argv[1]))
replicas.check_replicas(findings, MINI_SIZES, "CPU:0")
"""


def found_in_child(tmp_path, monkeypatch, word):
    (tmp_path / "kid.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    path = tmp_path / "found.jsonl"
    ended = children.run_child(["kid", str(path), word], dict(os.environ), 240)
    assert ended.code == 0, ended.errors
    return {finding.name: finding.status for finding in read_findings(path)}


@pytest.mark.slow
def test_two_logical_devices_take_the_steps_of_one(tmp_path, monkeypatch):
    found = found_in_child(tmp_path, monkeypatch, "right")
    assert found == {
        "MirroredStrategy, one CPU as two": OK,
        "a second card": LEFT_OUT,
    }


@pytest.mark.slow
def test_gradients_that_are_not_summed_are_found(tmp_path, monkeypatch):
    found = found_in_child(tmp_path, monkeypatch, "planted")
    assert found["MirroredStrategy, one CPU as two"] == WRONG
