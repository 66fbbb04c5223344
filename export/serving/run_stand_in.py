r"""Serves exported models without TensorFlow Serving, for tests and first tries.

    waveunet stand-in --models_dir ~/models

Serves the models that MODELS_DIR/models.config names; needs the extra
`stand-in`. Use the real server for anything that matters (docs/serve.md).
"""

import concurrent.futures
import signal
import socket
import threading

import grpc
from absl import flags, logging

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError

_MODELS_DIR = flags.DEFINE_string(
    "models_dir",
    None,
    "The folder that `waveunet export --formats saved_model` wrote.",
    required=True,
)
_PORTS = {"lower_bound": 0, "upper_bound": 65535}
_PORT = flags.DEFINE_integer(
    "port", 8500, "Port of gRPC; 0 takes a free one.", **_PORTS
)
_REST_PORT = flags.DEFINE_integer(
    "rest_port", 8501, "Port of REST; 0 takes a free one.", **_PORTS
)
_THREADS = flags.DEFINE_integer(
    "threads", 4, "The most requests at a time.", lower_bound=1
)


def grpc_server(models) -> tuple[grpc.Server, int]:
    """Makes a gRPC server of the models; returns it and its port.

    Raises:
        InputError: The port is taken.
    """
    from tensorflow_serving.apis import (
        model_service_pb2_grpc,
        prediction_service_pb2_grpc,
    )

    from waveunet_tf.export.serving import stand_in

    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(_THREADS.value),
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        stand_in.PredictionServicer(models), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        stand_in.ModelServicer(models), server
    )
    address = f"localhost:{_PORT.value}"
    try:
        # gRPC takes one of IPv4 and IPv6 if the other is taken, and says nothing.
        socket.create_server(("localhost", _PORT.value)).close()
        return server, server.add_insecure_port(address)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{address}: must be a free port, but is taken") from error


def main(_):
    """Serves until SIGINT or SIGTERM."""
    from waveunet_tf.export.serving import stand_in, stand_in_rest

    logging.set_verbosity(logging.WARNING)
    models = stand_in.Models(_MODELS_DIR.value)
    server, port = grpc_server(models)
    try:
        rest = stand_in_rest.server(models, _REST_PORT.value)
    except OSError as error:
        raise InputError(f"localhost:{_REST_PORT.value}: {error.strerror}") from error
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    server.start()
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print(f"gRPC on port {port}, REST on port {rest.server_port}", flush=True)
    stopped.wait()
    rest.shutdown()
    server.stop(grace=5).wait()


if __name__ == "__main__":
    app.run(main)
