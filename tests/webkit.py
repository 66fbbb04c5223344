"""WebKitGTK's browser by WebDriver: the engine of Safari, and not Safari itself.

It has those of playwright's methods that the tests of several engines use.
"""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

DRIVER = os.environ.get("WEBKIT_DRIVER", "/usr/bin/WebKitWebDriver")
_MINI_BROWSERS = "usr/lib/*/webkit2gtk-4.1/MiniBrowser"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's name of an element's id
_ANSWER_SECONDS = 180
_START_SECONDS = 30
# As playwright's evaluate: a function is called, and what is none is the value.
_SCRIPT = """const [argument, done] = arguments;
(async () => {
    const value = (%s);
    return typeof value === "function" ? value(argument) : value;
})().then((value) => done([value ?? null]), (error) => done([null, String(error)]));"""


@contextlib.contextmanager
def webkit_browser(home, **environment):
    """Yields a browser; skips the test where there is no WebKitGTK.

    Args:
        home: The folder in which it keeps its files, and those that it saves.
        environment: More variables for its processes.
    """
    program = next(pathlib.Path("/").glob(_MINI_BROWSERS), None)
    if not (program and pathlib.Path(DRIVER).exists() and shutil.which("Xvfb")):
        pytest.skip("needs WebKitGTK: apt install webkit2gtk-driver xvfb")
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(_screen())
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        variables = {"HOME": str(home), "DISPLAY": display, "GIO_USE_VFS": "local"}
        stack.enter_context(
            _process(
                [DRIVER, f"--port={port}"],
                env={**os.environ, **variables, **environment},
            )
        )
        yield Browser(f"http://127.0.0.1:{port}", program)


@contextlib.contextmanager
def _screen():
    """Runs an X server that shows nothing; yields its name."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x1000x24"]
    with os.fdopen(reading) as told, _process(command, pass_fds=[writing]):
        os.close(writing)
        ready, _, _ = select.select([told], [], [], _START_SECONDS)
        assert ready, f"Xvfb has told no display in {_START_SECONDS} s"
        yield f":{told.readline().strip()}"


@contextlib.contextmanager
def _process(command, **options):
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **silent, **options)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Browser:
    """The driver; each context is a session with its own profile, one at a time."""

    def __init__(self, address, program):
        self._address = address
        options = {"binary": str(program), "args": ["--automation"]}
        self._wishes = {"webkitgtk:browserOptions": options}

    def new_context(self):
        return Context(self._address, self._wishes)


class Context:
    """A session, which has one page."""

    def __init__(self, address, wishes):
        self._address = f"{address}/session"
        body = {"capabilities": {"alwaysMatch": wishes}}
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                session = self.ask("POST", "", body)
                break
            except OSError:  # the driver is not there yet
                assert time.monotonic() < end, f"{DRIVER} does not listen"
                time.sleep(0.05)
        self.version = session["capabilities"]["browserVersion"]
        self._address += f"/{session['sessionId']}"
        self.ask("POST", "/timeouts", {"script": 1000 * _ANSWER_SECONDS})

    def ask(self, method, path, body=None):
        """Sends a command of WebDriver's; gives its answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._address + path, data, {"Content-Type": "application/json"}
        )
        request.method = method
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            told = json.load(error)["value"]
            raise AssertionError(f"{told['error']}: {told['message']}") from None
        except TimeoutError:
            raise AssertionError(
                f"WebKit gave no answer in {_ANSWER_SECONDS} s: {method} {path} {body}"[
                    :300
                ]
            ) from None

    def new_page(self):
        return Page(self)

    def close(self):
        self.ask("DELETE", "")


class Page:
    def __init__(self, context):
        self.context = context
        self.faults = []

    def set_default_timeout(self, milliseconds):
        """Does nothing: all that waits here has a limit."""

    def on(self, event, take):
        """Does nothing: WebDriver tells of no events."""

    def goto(self, address):
        self.context.ask("POST", "/url", {"url": address})

    def reload(self):
        self.context.ask("POST", "/refresh", {})

    def evaluate(self, expression, argument=None):
        body = {"script": _SCRIPT % expression, "args": [argument]}
        value, *error = self.context.ask("POST", "/execute/async", body)
        assert not error, error
        return value

    def wait_for_timeout(self, milliseconds):
        time.sleep(milliseconds / 1000)

    def _element(self, selector):
        body = {"using": "css selector", "value": selector}
        return f"/element/{self.context.ask('POST', '/element', body)[_ELEMENT]}"

    def click(self, selector):
        self.context.ask("POST", f"{self._element(selector)}/click", {})

    def set_input_files(self, selector, paths):
        text = "\n".join(str(path) for path in paths)
        self.context.ask("POST", f"{self._element(selector)}/value", {"text": text})

    def screenshot(self, *, path):
        content = self.context.ask("GET", "/screenshot")
        pathlib.Path(path).write_bytes(base64.b64decode(content))
