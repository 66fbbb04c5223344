"""Converted files that several tests only read."""

import pytest

from tests.export.small_exports import CHUNK, music
from waveunet_tf.export import quantize, tflite
from waveunet_tf.export.kinds import KINDS


@pytest.fixture(scope="session")
def kept_files(kept_checkpoint, tmp_path_factory):
    """Kind → a stream's file of the kept checkpoint, calibrated on music."""
    folder = tmp_path_factory.mktemp("kept") / "artefacts"
    folder.mkdir()
    plan = tflite.plan(kept_checkpoint, "streaming", CHUNK)
    paths = {}
    for kind, content in quantize.convert_plan(plan, list(KINDS), [music(6 * CHUNK)]):
        paths[kind] = folder / f"tflite_{kind}.tflite"
        paths[kind].write_bytes(content)
    return paths
