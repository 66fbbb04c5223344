r"""Lets a separator label songs, as tracks to train on.

    waveunet teach ~/songs --output_dir ~/taught --checkpoint ~/m4/best
    waveunet teach ~/songs --output_dir ~/taught --estimates_dir ~/their-stems
    waveunet prepare --dataset folder --source ~/taught --rest accompaniment \
        --output ~/prepared-taught

The teacher is a model, a checkpoint, a TFLite file, a model server, or another program
whose stems lie in a folder, <estimates_dir>/<song>/<stem>.<wav|flac|…>. Songs are
files, folders or patterns. Writes OUTPUT_DIR/train/<song>/ with mixture.flac and the
teacher's stems, and manifest.json, which says that they are estimates, and whose.
After a stop, the same command goes on.
"""

import hashlib
import json
import os

from absl import flags

from waveunet_tf.checkpoints import registry
from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import model_server
from waveunet_tf.separation.separator_source import CheckpointSource, TFLiteSource
from waveunet_tf.separation.teachers import FolderTeacher, SeparatorTeacher, Teacher
from waveunet_tf.separation.teaching import count_taught, teach_songs

_ARGUMENTS = "audio files, folders or patterns"
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "The folder to write: new, empty, or of an earlier run, which then goes on.",
    required=True,
    short_name="o",
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "The teacher: a folder of config.json and weights, or a model's name. Default: "
    f"{registry.DEFAULT}.",
)
_TFLITE = flags.DEFINE_string(
    "tflite", None, "The teacher: a TFLite file, which waveunet export wrote."
)
_SERVER = flags.DEFINE_string(
    "server",
    None,
    "The teacher: a model server, HOST:PORT, as of waveunet client.",
)
_REST = flags.DEFINE_boolean("rest", False, "Ask the --server by REST, not gRPC.")
_MODEL_NAME = flags.DEFINE_string(
    "model_name", "waveunet", "The name of the --server's model."
)
_ESTIMATES_DIR = flags.DEFINE_string(
    "estimates_dir",
    None,
    "The teacher: another program, whose stems are in this folder.",
)
_TEACHER_NAME = flags.DEFINE_string(
    "teacher_name",
    None,
    "What the manifest calls the teacher. Default: the model, file, server or folder.",
)
_STEMS = flags.DEFINE_list(
    "stems",
    ["vocals"],
    "The teacher's stems to write, comma separated. `prepare --rest` makes the missing "
    "one.",
)
_BIT_DEPTH = flags.DEFINE_enum(
    "bit_depth", "16", ["16", "24"], "Bits a sample: 16 with dither, or 24."
)
_RECURSIVE = flags.DEFINE_boolean(
    "recursive", False, "Teach the audio files of folders in folders, too."
)
_THREADS = flags.DEFINE_integer(
    "threads", None, "CPU threads. Default: one for each core.", lower_bound=1
)
flags.mark_flags_as_mutual_exclusive(
    ["checkpoint", "tflite", "server", "estimates_dir"]
)


def teacher_from_flags() -> Teacher:
    """Opens the teacher.

    Raises:
        UsageError: The server's address is none, or --rest is given without a server.
        InputError: There is no such checkpoint, file, server or folder.
        OSError: A file cannot be read, or the server does not answer.
    """
    if _REST.value and _SERVER.value is None:
        raise app.UsageError(
            "--rest asks a --server. The stem that is missing is made by `prepare "
            "--rest SOURCE`"
        )
    if _ESTIMATES_DIR.value is not None:
        return FolderTeacher(_ESTIMATES_DIR.value, _TEACHER_NAME.value)
    if _SERVER.value is not None:
        return _server_teacher()
    if _TFLITE.value is not None:
        kind, place = "tflite", _TFLITE.value
        source = TFLiteSource.open(place, threads=_THREADS.value)
    else:
        kind, place = "checkpoint", _CHECKPOINT.value or registry.DEFAULT
        source = CheckpointSource.open(place, overrides={}, threads=_THREADS.value)
    return SeparatorTeacher(
        source.load(), kind, _TEACHER_NAME.value or place, source.sha256
    )


def _server_teacher() -> Teacher:
    if not model_server.is_address(_SERVER.value):
        raise app.UsageError(f"--server must be HOST:PORT. Received: {_SERVER.value}")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it says is raised, too
    from waveunet_tf.export.serving import client, transports

    server = transports.Server(_SERVER.value, _MODEL_NAME.value)
    kind = transports.RestTransport if _REST.value else transports.GrpcTransport
    separator = client.RemoteSeparator(kind(server))
    # It tells the fingerprint of the weights, too.
    described = json.dumps(separator.description, sort_keys=True)
    return SeparatorTeacher(
        separator,
        "server",
        _TEACHER_NAME.value or f"{_MODEL_NAME.value} on {_SERVER.value}",
        hashlib.sha256(described.encode()).hexdigest(),
    )


def main(songs):
    """Teaches the songs of the arguments."""
    failures = teach_songs(
        songs,
        _OUTPUT_DIR.value,
        teacher_from_flags(),
        stems=_STEMS.value,
        bit_depth=int(_BIT_DEPTH.value),
        recursive=_RECURSIVE.value,
    )
    print(f"{count_taught(_OUTPUT_DIR.value)} songs in {_OUTPUT_DIR.value}")
    for failure in failures:
        app.print_error(InputError(str(failure)))
    return 1 if failures else 0


if __name__ == "__main__":
    app.run(main, arguments=_ARGUMENTS)
