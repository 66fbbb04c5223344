"""Describes TFLite files that `waveunet export` wrote.

    waveunet describe-file ~/artefacts/tflite_float32.tflite

Prints the metadata, signatures, operations, sizes, multiply-adds, and what TensorFlow's
analyzer says of the GPU delegate.
"""

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError

_GPU = flags.DEFINE_boolean(
    "gpu", True, "Ask TensorFlow's analyzer about the GPU delegate (some seconds)."
)


def main(paths):
    """Prints the description of each file; the exit code is 1 if one is broken."""
    from waveunet_tf.export import file_description

    failed = 0
    for path in paths:
        try:
            description = file_description.describe_tflite_file(path)
        except (InputError, OSError) as error:
            app.print_error(error)
            failed = 1
            continue
        gpu = ["not asked"]
        if _GPU.value:
            gpu = file_description.gpu_incompatibilities(path)
            if gpu is None:
                gpu = ["not known: the analyzer of this TensorFlow does not look at it"]
        print(file_description.format_file_description(description, gpu))
    return failed


if __name__ == "__main__":
    app.run(main, arguments="TFLite files")
