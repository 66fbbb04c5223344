"""A model on a server: its address, and how patiently it is asked."""

from __future__ import annotations

import dataclasses
import ipaddress
import pathlib
import random
import re
import ssl
import time
from collections.abc import Callable

from absl import logging

from waveunet_tf.errors import InputError
from waveunet_tf.system import arguments


@dataclasses.dataclass(frozen=True)
class Server:
    """A model on a server, and how long to wait for it.

    Attributes:
        address: The server's address, HOST:PORT.
        model_name: The model's name on the server.
        version: The model's version; by default the newest.
        label: The label of the version, in place of its number.
        ca_file: A PEM file of the certificates that vouch for the server's, for TLS; by
            default the connection is not encrypted.
        token_file: A file whose one line is sent as a bearer token, for a proxy that
            asks for one; over TLS only, or to a server on this machine.
        deadline_seconds: The longest time that a request may take, in seconds.
        retries: How often a request is sent again while the server is not available.
        first_wait_seconds: The wait before the first retry, in seconds; it doubles from
            one retry to the next.
        longest_wait_seconds: The longest wait before a retry, in seconds.

    Raises:
        InputError: A value is of another type, or out of range.
    """

    address: str
    model_name: str = "waveunet"
    version: int | None = None
    label: str | None = None
    ca_file: str | None = None
    token_file: str | None = None
    deadline_seconds: float = 300.0
    retries: int = 8
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0

    def __post_init__(self):
        if not is_address(arguments.text("address", self.address)):
            raise InputError(
                f"`address` must be HOST:PORT. Received: {self.address[:80]!r}"
            )
        for name in ("model_name", "label", "ca_file", "token_file"):
            if getattr(self, name) is not None or name == "model_name":
                arguments.text(name, getattr(self, name))
        if self.version is not None:
            arguments.whole_number("version", self.version, minimum=0)
        if self.token_file is not None and self.ca_file is None:
            if not self.is_loopback:
                raise InputError(
                    "`token_file` must go with `ca_file`, for without TLS everybody on "
                    "the way could read the token. Received: no `ca_file`"
                )
        arguments.whole_number("retries", self.retries, minimum=0)
        arguments.seconds("deadline_seconds", self.deadline_seconds)
        for name in ("first_wait_seconds", "longest_wait_seconds"):
            arguments.seconds(name, getattr(self, name), zero=True)

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, to which no proxy leads."""
        host = self.address.rpartition(":")[0].strip("[]").rstrip(".").lower()
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def tls_context(self) -> ssl.SSLContext | None:
        """Returns the context of TLS, or None where `ca_file` is None.

        Raises:
            InputError: The file holds no certificates.
            OSError: The file cannot be read.
        """
        if self.ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise InputError(
                f"{self.ca_file}: must hold certificates in PEM, but does not"
            ) from error

    def authorization(self) -> str | None:
        """Returns the header that tells who asks, or None where nobody wants to know.

        Raises:
            InputError: The token's file does not hold one line without spaces.
            OSError: The file cannot be read.
        """
        if self.token_file is None:
            return None
        text = pathlib.Path(self.token_file).read_text("ascii", errors="replace")
        if not re.fullmatch(r"[\x21-\x7e]+", text.strip()):
            raise InputError(
                f"{self.token_file}: must hold a token in one line, without spaces"
            )
        return f"Bearer {text.strip()}"

    def patiently(self, send: Callable[[], object]):
        """Sends a request, and sends it again while the server is not available.

        Args:
            send: Sends the request; raises Unavailable.

        Returns:
            What `send` returns.

        Raises:
            ConnectionError: The server was not available at the last try either.
        """
        for tried in range(self.retries + 1):
            try:
                return send()
            except Unavailable as error:
                if tried == self.retries:
                    raise ConnectionError(
                        f"{self.address}: not available in {tried + 1} tries: {error}"
                    ) from error
                # After so many doublings it is the longest; 2**1024 is no float.
                longest = self.first_wait_seconds * 2 ** min(tried, 64)
                longest = min(longest, self.longest_wait_seconds)
                # Clients that failed together must not try again together.
                seconds = random.uniform(longest / 2, longest)
                logging.info(
                    "%s: not available (%s), trying again in %.1f s",
                    self.address,
                    error,
                    seconds,
                )
                time.sleep(seconds)


def is_address(text: str) -> bool:
    """Whether a text is HOST:PORT, with a port that there is: 74036 would be 8500."""
    match = re.fullmatch(r"[^\s/?#@]+:([0-9]{1,5})", text)
    return match is not None and int(match[1]) < 2**16


class Unavailable(Exception):
    """The server cannot answer now, but may later."""
