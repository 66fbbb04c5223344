import fractions
import pathlib

import numpy as np
import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.system import arguments


class Odd:
    """An object of no use, whose text would fill a screen."""

    def __repr__(self):
        return "odd\n" * 1000


class OnTheGPU:
    """Plays a tensor that NumPy cannot reach."""

    def __array__(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


NUMBERLESS = [None, "8000", "x", b"8", True, np.True_, [8000], (1,), {}, Odd(), 1j]
NUMBERLESS += [float("nan"), np.float32("nan"), float("inf"), -np.inf, np.array([8])]


def refused(function, *args, **options):
    """The line with which a check refuses."""
    with pytest.raises(InputError) as error:
        function("thing", *args, **options)
    text = str(error.value)
    assert text.startswith("`thing` must ") and " Received: " in text
    assert len(text.splitlines()) == 1 and len(text) < 250
    return text


@pytest.mark.parametrize(
    "value", [*NUMBERLESS, 0, -1, 8000.5, 1e30, 10**400, 10**7 + 1]
)
def test_a_rate_is_a_whole_number_in_range(value):
    assert "a whole number, 1 to 10000000" in refused(arguments.rate_hz, value)


@pytest.mark.parametrize("kind", [int, float, np.int16, np.float32, fractions.Fraction])
def test_a_whole_number_may_come_in_any_type(kind):
    number = arguments.whole_number("thing", kind(8000))
    assert number == 8000 and type(number) is int


@pytest.mark.parametrize("value", [*NUMBERLESS, -1e-9, 1e10, 10**400])
def test_seconds_are_a_number_in_range(value):
    refused(arguments.seconds, value, zero=True)
    refused(arguments.seconds, value)


def test_no_time_is_a_start_but_no_length():
    assert arguments.seconds("thing", 0, zero=True) == 0
    refused(arguments.seconds, 0)


@pytest.mark.parametrize("value", [None, 0, 1, "True", "", [], np.array([True, False])])
def test_a_flag_is_true_or_false(value):
    refused(arguments.flag, value)
    assert arguments.flag("thing", np.True_) is True


@pytest.mark.parametrize("value", [None, "c", ["a"], np.array(["a", "b"]), 1, b"a"])
def test_a_choice_is_one_of_several(value):
    assert "one of a, b." in refused(arguments.choice, value, ("a", "b"))
    assert arguments.choice("thing", "b", ("a", "b")) == "b"


@pytest.mark.parametrize("value", [None, 5, b"x", [], "a\0b", Odd()])
def test_a_path_is_a_text_or_a_path(value):
    refused(arguments.path, value)
    for place in ("x/", pathlib.Path("x"), ""):
        assert pathlib.Path(arguments.path("thing", place)) == pathlib.Path(place)


@pytest.mark.parametrize("value", [None, "vocals", 5, [1], b"x", {"a": 1}])
def test_texts_are_a_list_of_them(value):
    refused(arguments.texts, value)
    assert arguments.texts("thing", ["a", "b"]) == ("a", "b")


@pytest.mark.parametrize(
    "value",
    [
        *(None, "x", 1.5, [[0.1, 0.2]], [[0.1], [0.1, 0.2]], Odd(), OnTheGPU()),
        *(np.zeros(shape) for shape in ((), (9,), (9, 0), (9, 3), (1, 9, 2))),
        *(
            np.zeros((9, 2), kind)
            for kind in ("i2", "i8", "?", "c8", "O", "U3", "M8[s]")
        ),
        np.zeros((9, 2), [("a", "f4")]),
    ],
)
def test_audio_is_an_array_of_floats_of_one_or_two_channels(value):
    assert "array of floats (frames, 1 or 2 ch" in refused(arguments.samples, value)


@pytest.mark.parametrize(
    ("bad", "received"),
    [
        *((value, "NaN or infinity") for value in (np.nan, np.inf, -np.inf)),
        (1e300, "1e+300"),
        (-3.4e38, "3.4e+38"),
        (1.01e10, "1.01e+10"),
    ],
)
def test_samples_are_finite_and_far_below_what_float32_holds(bad, received):
    audio = np.zeros((9, 2))
    audio[7, 1] = bad
    text = refused(arguments.samples, audio, first_frame=100)
    assert text.endswith(f"Received: {received} in frame 107")


def test_samples_are_a_copy_in_float32():
    for kind in (np.float16, np.float32, np.float64, np.longdouble):
        audio = np.full((9, 2), 0.5, kind)
        audio.flags.writeable = False
        samples = arguments.samples("thing", audio, channels=2)
        assert samples.dtype == np.float32 and samples.flags.writeable
        np.testing.assert_array_equal(samples, audio)
    refused(arguments.samples, np.zeros((9, 1)), channels=2)
