r"""Serves a site that `export-web` made, to try it on this machine.

    waveunet serve-web ~/site

Prints the address and serves until Ctrl-C. For others put the folder on any web host
(docs/browser.md).
"""

import pathlib

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.export.web import site_folder, site_server

_PORT = flags.DEFINE_integer(
    "port", 8080, "The port; 0 takes a free one.", lower_bound=0, upper_bound=65535
)
_ISOLATED = flags.DEFINE_boolean(
    "isolated",
    True,
    "Send the headers that allow threads. Without them the page's service worker adds "
    "them, as on a host where they cannot be set.",
)


def main(arguments):
    """Serves until it is interrupted."""
    if len(arguments) > 1:
        raise app.UsageError(
            f"takes one folder. Received: {' '.join(map(str, arguments))}"
        )
    site = pathlib.Path(arguments[0])
    site_folder.read_files(site)
    try:
        server = site_server.SiteServer(site, _PORT.value, isolated=_ISOLATED.value)
    except OSError as error:
        raise InputError(
            f"--port {_PORT.value} cannot be used: {error.strerror}"
        ) from error
    with server:
        print(server.address, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    app.run(main, arguments="a folder that export-web made")
