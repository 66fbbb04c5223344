r"""Lets Spleeter's 2stems model label songs, as `waveunet teach` does with others.

    python -m examples.pretrained.teach_by_spleeter --weights work/spleeter.npz \
        --output_dir work/taught ~/songs

Spleeter runs in Keras, on any backend (KERAS_BACKEND), and on a GPU where there is one.
After a stop, the same command goes on.
"""

from __future__ import annotations

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError

_WEIGHTS = flags.DEFINE_string(
    "weights", None, "The file of spleeter_weights.", required=True
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The folder to write; see `waveunet teach`.", required=True
)


def main(songs):
    """Teaches the songs of the arguments."""
    from examples.pretrained.spleeter import SpleeterTeacher
    from waveunet_tf.separation.teaching import count_taught, teach_songs

    teacher = SpleeterTeacher(_WEIGHTS.value)
    failures = teach_songs(songs, _OUTPUT_DIR.value, teacher)
    print(f"{count_taught(_OUTPUT_DIR.value)} songs in {_OUTPUT_DIR.value}")
    for failure in failures:
        app.print_error(InputError(str(failure)))
    return 1 if failures else 0


if __name__ == "__main__":
    app.run(main, arguments="audio files, folders or patterns")
