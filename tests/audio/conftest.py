import pytest

from waveunet_tf.data.sigsep import import_sigsep


@pytest.fixture(scope="session")
def example():
    """The stem.mp4 of MUSDB18 that stempeg carries."""
    return import_sigsep("stempeg").example_stem_path()
