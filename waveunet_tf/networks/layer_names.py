"""The names of layers and of the arrays of a stream's state.

Checkpoints, exported files and servers know weights and states by these names: to
change one is to change their formats.
"""

from __future__ import annotations

from waveunet_tf.configs.networks import STATE_PREFIX

MIXTURE = "mixture"
"""The networks' input."""

BOTTLENECK = "bottleneck"
"""The convolution between the way down and the way up."""

SKIP_MIXTURE = "skip_mixture"
"""Crops the mixture and puts it before the last features."""

DELAY_MIXTURE = "delay_mixture"
"""The state in which the mixture waits for the last features."""

DELAY_DIFFERENCE = "delay_difference"
"""The state in which the mixture waits for the sources, for the difference."""

OUTPUT_STATE = "output"
"""The state of the last inputs of all output layers."""

STFT = "stft"
MAGNITUDE = "magnitude"
NETWORK_INPUT = "network_input"

_OUTPUT_PREFIX = "output_"
_MASK_SUFFIX = "_mask"
_NORMALIZATION_SUFFIX = "_norm"


def down(level: int) -> str:
    """Names the convolution of a level on the way down."""
    return f"down_{level}"


def decimate(level: int) -> str:
    """Names the decimation after a level's convolution on the way down."""
    return f"decimate_{level}"


def upsample(level: int) -> str:
    """Names the layer that doubles the rate up to a level's."""
    return f"upsample_{level}"


def upsample_crop(level: int) -> str:
    """Names the layer that crops the frames of a transposed convolution."""
    return f"{upsample(level)}_crop"


def skip(level: int) -> str:
    """Names the layer that crops a level's skip and puts it before the features."""
    return f"skip_{level}"


def up(level: int) -> str:
    """Names the convolution of a level on the way up."""
    return f"up_{level}"


def delay(level: int) -> str:
    """Names the state in which a level's skip waits for the features from below."""
    return f"delay_{level}"


def output(source: str) -> str:
    """Names a source's output layer."""
    return f"{_OUTPUT_PREFIX}{source}"


def is_output(name: str) -> bool:
    """Tells whether a layer is a source's output layer."""
    return name.startswith(_OUTPUT_PREFIX)


def source_of_output(name: str) -> str:
    """Returns the source of an output layer."""
    return name.removeprefix(_OUTPUT_PREFIX)


def clip(source: str) -> str:
    """Names the layer that clips a source of a linear output at inference."""
    return f"clip_{source}"


def source_down(source: str, level: int) -> str:
    """Names U7's convolution of a level on the way down to a source's mask."""
    return f"{source}_{down(level)}"


def source_up(source: str, level: int) -> str:
    """Names U7's transposed convolution of a level on the way up to a mask."""
    return f"{source}_{up(level)}"


def mask(source: str) -> str:
    """Names U7's last convolution, which gives a source's mask."""
    return f"{source}{_MASK_SUFFIX}"


def is_mask(name: str) -> bool:
    """Tells whether a layer gives a source's mask."""
    return name.endswith(_MASK_SUFFIX)


def nyquist(source: str) -> str:
    """Names U7's layer that adds the Nyquist bin to a source's mask."""
    return f"{source}_nyquist"


def normalization(convolution: str) -> str:
    """Names the normalization after one of U7's convolutions."""
    return f"{convolution}{_NORMALIZATION_SUFFIX}"


def normalized(name: str) -> str:
    """Returns the convolution before a normalization; another layer's name as is."""
    return name.removesuffix(_NORMALIZATION_SUFFIX)


def activation(convolution: str) -> str:
    """Names the activation after one of U7's convolutions."""
    return f"{convolution}_relu"


def concatenation(convolution: str) -> str:
    """Names the layer that puts a skip before the features of one of U7's layers."""
    return f"{convolution}_skip"


def dropout(convolution: str) -> str:
    """Names the dropout after one of U7's transposed convolutions."""
    return f"{convolution}_dropout"


def state(array: str) -> str:
    """Names an array of the state as inputs and outputs of programs and files do.

    The prefix keeps it apart from the sources, which stand beside it, and which may not
    begin so.

    Args:
        array: Its name in the state: a layer's, `delay(level)`, DELAY_MIXTURE,
            DELAY_DIFFERENCE or OUTPUT_STATE.
    """
    return f"{STATE_PREFIX}{array}"


def array_of_state(name: str) -> str:
    """Returns the array's own name, of what `state` gave."""
    return name.removeprefix(STATE_PREFIX)
