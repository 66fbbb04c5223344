import pathlib

import pytest

from waveunet_tf.commands import app
from waveunet_tf.evaluate.system_arguments import named_folders


def test_folders_are_named_in_the_order_of_the_arguments():
    folders = named_folders(["y=c", "x=a=b", "z=/d"])
    assert list(folders.items()) == [
        ("y", pathlib.Path("c")),
        ("x", pathlib.Path("a=b")),
        ("z", pathlib.Path("/d")),
    ]
    assert named_folders([]) == {}


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        (["x"], "Received: x"),
        (["y=b", "=a"], "Received: =a"),
        (["x="], "Received: x="),
        (["x=a", "y=c", "x=b"], "Received twice: x"),
    ],
)
def test_arguments_without_a_name_or_folder_or_with_a_name_twice_are_wrong_usage(
    arguments, received
):
    with pytest.raises(app.UsageError, match=f"{received}$"):
        named_folders(arguments)


def test_a_name_that_is_not_utf_8_is_written_as_text_and_its_folder_stays():
    folders = named_folders(["caf\udce9=a/caf\udce9"])
    assert {name: str(path) for name, path in folders.items()} == {
        r"caf\udce9": "a/caf\udce9"
    }
