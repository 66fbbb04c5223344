"""A signal ends a process even where Python swallows what its handler raises."""

import signal

import pytest

from tests.command_line import run_python

CODE = """
import ctypes, gc, signal, sys, time
from waveunet_tf.system import interrupts

def handle(number, frame):
    {off}
    interrupts.end(number)

number = signal.Signals({number})
signal.signal(number, handle)
interrupts.raise_swallowed_exits()

def callback(*_):
    signal.raise_signal(number)
    for _ in range(1000):  # the handler runs here
        pass

{call}
for _ in range(200):
    time.sleep(0.05)
print("went on")
"""
# Ways to run a callback in which Python ignores an exception.
CALLS = {
    # Once: a second signal could come when Python has put its handlers back already.
    "garbage": "gc.callbacks.append(lambda phase, _: phase == 'stop' or callback()); "
    "gc.collect(); gc.callbacks.clear()",
    "ctypes": "ctypes.CFUNCTYPE(None)(callback)()",
}


def run_code(call, number, off="pass"):
    code = CODE.format(call=CALLS[call], number=int(number), off=off)
    return run_python("-c", code, timeout=30)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_swallowed_exit_ends_the_process_in_silence(call, number):
    result = run_code(call, number)
    assert result.returncode == 128 + number
    assert result.stdout == result.stderr == ""


def test_a_swallowed_ctrl_c_is_raised_again():
    result = run_code("garbage", signal.SIGINT)
    assert result.returncode in (130, -signal.SIGINT)
    assert result.stdout == "" and "KeyboardInterrupt" in result.stderr


def test_a_handler_that_turned_itself_off_is_called_again():
    off = "signal.signal(number, signal.SIG_IGN)"
    assert run_code("ctypes", signal.SIGTERM, off).returncode == 143


def test_other_exceptions_of_callbacks_are_printed_as_ever():
    code = (
        "import gc; from waveunet_tf.system import interrupts;"
        "interrupts.raise_swallowed_exits();"
        "gc.callbacks.append(lambda *_: 1 / 0); gc.collect(); gc.callbacks.clear();"
        "print('went on')"
    )
    result = run_python("-c", code, timeout=30)
    assert result.returncode == 0
    assert result.stdout == "went on\n" and "ZeroDivisionError" in result.stderr


@pytest.mark.parametrize("ending", ["late = Late()", "Late()"])
def test_exceptions_of_objects_deleted_at_the_very_end_are_not_printed(ending):
    """TensorFlow's functions raise where their module is gone before them."""
    code = f"""
from waveunet_tf.system import interrupts

class Late:
    def __del__(self):
        1 / 0

interrupts.raise_swallowed_exits()
{ending}
"""
    result = run_python("-c", code, timeout=30)
    assert result.returncode == 0
    assert ("ZeroDivisionError" in result.stderr) == (ending == "Late()")
