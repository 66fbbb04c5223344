"""Lists the trained models that `separate` knows by name.

    waveunet models

Prints of each model its sources, rate, size, scores and what it was trained for. The
models are those of the package and of the folder that WAVEUNET_TF_MODELS names.
"""

from waveunet_tf.checkpoints import registry
from waveunet_tf.commands import app
from waveunet_tf.errors import InputError


def main(_):
    """Prints a paragraph on each model; the exit code is 1 if a model is broken."""
    failed = 0
    for name in registry.names():
        try:
            print(registry.describe_model(name))
        except InputError as error:
            app.print_error(error)
            failed = 1
    return failed


if __name__ == "__main__":
    app.run(main)
