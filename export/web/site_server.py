"""Serves a site to the browser of this machine."""

from __future__ import annotations

import contextlib
import functools
import http.server
import pathlib
import threading
from collections.abc import Iterator

# Makes a page cross-origin isolated, which threads in the browser need.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Answers with the site's files, which the browser must ask for anew each time."""

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }

    def send_head(self):
        """Sends a file whole: of another site, it may be older and yet another."""
        del self.headers["If-Modified-Since"]
        return super().send_head()

    def end_headers(self):
        """Adds the headers of the site's host."""
        for name, value in self.server.own_headers.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_):
        """Prints nothing of each request."""


class SiteServer(http.server.ThreadingHTTPServer):
    """A server of a site on this machine alone; a context manager.

    Attributes:
        address: The site's address.
    """

    daemon_threads = True

    def __init__(self, site: pathlib.Path, port: int = 0, *, isolated: bool = True):
        """Binds the port.

        Args:
            site: The site's folder.
            port: The port; 0 takes a free one.
            isolated: Whether the host sends the headers of cross-origin isolation.

        Raises:
            OSError: The port is in use.
        """
        self.own_headers = ISOLATION if isolated else {}
        super().__init__(
            ("localhost", port), functools.partial(_Handler, directory=str(site))
        )
        self.address = f"http://localhost:{self.server_port}/"

    def handle_error(self, request, client_address):
        """Prints nothing of a browser that went away."""


@contextlib.contextmanager
def running(site: pathlib.Path, *, isolated: bool = True) -> Iterator[str]:
    """Serves a site on a free port while the body runs; yields its address."""
    with SiteServer(site, isolated=isolated) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.address
        finally:
            server.shutdown()
            thread.join()
