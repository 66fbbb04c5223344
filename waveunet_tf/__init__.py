"""Wave-U-Net: music source separation on the raw waveform (arXiv 1806.03185).

`load("vocals")` loads the separator of a trained model of that name, and
`load(checkpoint)` one of your own. `load_network` loads the Keras network of either.
`VARIANTS` holds the paper's configs. TensorFlow is imported only with a network.
"""

import importlib

from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.errors import InputError

__version__ = "0.1.0"
__all__ = ["VARIANTS", "InputError", "load", "load_network"]

# Name → the module that defines it, and its name there.
_LAZY = {
    "load": ("waveunet_tf.separation.separator", "load_separator"),
    "load_network": ("waveunet_tf.checkpoints.checkpoint", "load_network"),
}


def __getattr__(name: str):
    if name in _LAZY:
        module, defined = _LAZY[name]
        return getattr(importlib.import_module(module), defined)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
