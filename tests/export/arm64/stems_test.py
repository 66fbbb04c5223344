import numpy as np
import pytest

from tests.export.small_exports import music
from waveunet_tf.errors import InputError
from waveunet_tf.export.arm64 import stems
from waveunet_tf.separation.separator import load_tflite_separator

# In one process, for the files that are converted once for all of these.
pytestmark = pytest.mark.xdist_group("tflite")


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_stems_are_those_of_the_files_runner(kept_files, tmp_path, kind):
    song = music(3000)
    np.save(tmp_path / "song.npy", song)
    stems.write_stems(kept_files[kind], tmp_path / "song.npy", tmp_path / "stems.npz")
    expected = load_tflite_separator(kept_files[kind]).runner().run(song)
    with np.load(tmp_path / "stems.npz") as arrays:
        assert sorted(arrays) == ["accompaniment", "vocals"]
        for source, stem in expected.items():
            assert arrays[source].dtype == np.float32
            np.testing.assert_allclose(arrays[source], stem, atol=1e-5)


def test_a_file_that_is_none_of_ours_is_refused(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"no model")
    np.save(tmp_path / "song.npy", music(9))
    with pytest.raises(InputError, match="must be a TFLite file"):
        stems.write_stems(
            tmp_path / "x.tflite", tmp_path / "song.npy", tmp_path / "stems.npz"
        )
    assert not (tmp_path / "stems.npz").exists()
