r"""Separates songs into stems on a model server, as `separate` does on this machine.

    waveunet client --server localhost:8500 \
        --output_dir ~/stems song.mp3 other.flac folder

Takes the songs and flags that `separate` takes. The server has a model that
`waveunet export --formats saved_model` wrote (docs/serve.md). Needs neither a
checkpoint nor TensorFlow.
"""

import os

from absl import flags

from waveunet_tf.commands import app, song_flags
from waveunet_tf.export.serving import model_server

_SERVER = flags.DEFINE_string(
    "server",
    None,
    "HOST:PORT; the port is usually 8500 for gRPC and 8501 for REST.",
    required=True,
)
_REST = flags.DEFINE_boolean("rest", False, "Use REST, with base64, instead of gRPC.")
_STREAM = flags.DEFINE_boolean(
    "stream",
    False,
    "Send chunk by chunk, with the stream's state kept here, as live connections do.",
)
_MODEL_NAME = flags.DEFINE_string("model_name", "waveunet", "The model's name.")
_VERSION = flags.DEFINE_integer(
    "version", None, "The model's version. Default: the newest.", lower_bound=1
)
_LABEL = flags.DEFINE_string("label", None, "The label of the version, such as stable.")
_CA_FILE = flags.DEFINE_string(
    "ca_file",
    None,
    "Use TLS, with this PEM file of the certificates that may sign the server's.",
)
_TOKEN_FILE = flags.DEFINE_string(
    "token_file",
    None,
    "Send the line of this file as a bearer token, for a proxy that asks for one. "
    "Needs --ca_file, but for a server on this machine.",
)
_DEADLINE = flags.DEFINE_float(
    "deadline_seconds",
    300.0,
    "How long a request may take, in seconds.",
    lower_bound=0.001,
)
_RETRIES = flags.DEFINE_integer(
    "retries",
    8,
    "How often a request is sent again while the server is not available. The first "
    "wait is half a second; each is twice as long as the last, up to 30 s.",
    lower_bound=0,
)
_REQUEST_SECONDS = flags.DEFINE_float(
    "request_seconds",
    20.0,
    "How much of a song a request asks for, in seconds. All clients of a server that "
    "batches must use the same.",
    lower_bound=0.001,
)
flags.adopt_module_key_flags(song_flags)


def check_usage() -> None:
    """Checks the flags of the server.

    Raises:
        UsageError: A flag is out of range, or two contradict each other.
    """
    if not model_server.is_address(_SERVER.value):
        raise app.UsageError(f"--server must be HOST:PORT. Received: {_SERVER.value}")
    if _REST.value and _STREAM.value:
        raise app.UsageError("--stream is for gRPC: its state is too large for REST")
    if _VERSION.value is not None and _LABEL.value is not None:
        raise app.UsageError("--version and --label exclude each other")


def main(arguments):
    """Separates the songs of the arguments on the server."""
    check_usage()
    options = song_flags.options_from_flags()
    songs = song_flags.songs_from_flags(arguments)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it says is raised, too
    from waveunet_tf.export.serving.client import RemoteSeparator
    from waveunet_tf.export.serving.transports import GrpcTransport, RestTransport

    server = model_server.Server(
        _SERVER.value,
        _MODEL_NAME.value,
        version=_VERSION.value,
        label=_LABEL.value,
        ca_file=_CA_FILE.value,
        token_file=_TOKEN_FILE.value,
        deadline_seconds=_DEADLINE.value,
        retries=_RETRIES.value,
    )
    separator = RemoteSeparator(
        RestTransport(server) if _REST.value else GrpcTransport(server),
        stream=_STREAM.value,
        request_seconds=_REQUEST_SECONDS.value,
    )
    return song_flags.separate_arguments(
        songs, options, separator.config.sources, lambda: separator
    )


if __name__ == "__main__":
    app.run(main, arguments=song_flags.ARGUMENTS, may_be_none=True)
