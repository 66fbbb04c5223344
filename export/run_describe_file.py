"""Describes TFLite files that `waveunet export` wrote.

    waveunet describe-file ~/artefacts/tflite_float32.tflite

Prints the metadata, signatures, operations, sizes, multiply-adds, and what TensorFlow's
analyzer says of the GPU delegate.
"""

from absl import flags

from waveunet_tf.commands import app

_GPU = flags.DEFINE_boolean(
    "gpu", True, "Ask TensorFlow's analyzer about the GPU delegate (some seconds)."
)


def main(paths):
    """Prints the description of each file."""
    from waveunet_tf.export import file_description

    for path in paths:
        description = file_description.describe_tflite_file(path)
        gpu = ["not asked"]
        if _GPU.value:
            gpu = file_description.gpu_incompatibilities(path)
            if gpu is None:
                gpu = ["not known: the analyzer of this TensorFlow does not look at it"]
        print(file_description.format_file_description(description, gpu))
    return 0


if __name__ == "__main__":
    app.run(main, arguments="TFLite files")
