"""A target that breaks the property, for the test of the battery itself."""

import os
import signal
import tempfile

import numpy as np
from hypothesis import strategies as st

from waveunet_tf.errors import InputError

KINDS = ("result", "refusal", "fault", "signal", "outside", "temporary", "memory")


def cases():
    return st.fixed_dictionaries({"signal": st.binary(max_size=100)})


def check(place):
    (path,) = place.inputs.iterdir()
    if path.name == "signal" and len(path.read_bytes()) > 20:
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.name == "refusal":
        raise InputError(f"{path}: must be good")
    if path.name == "fault":
        raise KeyError("a fault")
    if path.name == "outside":
        (place.root / "work" / "sentinel").write_text("changed, and longer")
    if path.name == "temporary":
        tempfile.mkstemp()
    if path.name == "memory":
        assert np.ones(2**27, np.uint8).any()
