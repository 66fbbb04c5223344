from __future__ import annotations

import dataclasses
import json

import pytest

from waveunet_tf.configs.fields import Config, setting
from waveunet_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Example(Config):
    """One field of every kind."""

    count: int = setting(3, "A number of things.", minimum=1, maximum=5)
    rate: float = setting(0.5, "A share.", above=0, below=1)
    kind: str = setting("round", "A kind.", choices=("round", "square"))
    wanted: bool = setting(False, "Whether.")
    limit: int | None = setting(None, "A limit, if any.", minimum=1)
    names: tuple[str, ...] = setting(("a", "b"), "Names.")


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"count": 0}, "`count` must be at least 1. Received: 0"),
        ({"count": 6}, "`count` must be at most 5. Received: 6"),
        ({"count": 2.0}, "`count` must be of type int. Received: 2.0"),
        ({"count": True}, "`count` must be of type int. Received: True"),
        ({"count": "3"}, "`count` must be of type int. Received: '3'"),
        ({"count": None}, "`count` must be of type int. Received: None"),
        ({"rate": 0.0}, "`rate` must be greater than 0. Received: 0.0"),
        ({"rate": 1}, "`rate` must be less than 1. Received: 1.0"),
        ({"rate": float("nan")}, "`rate` must be greater than 0. Received: nan"),
        ({"rate": "0.5"}, "`rate` must be of type float. Received: '0.5'"),
        ({"kind": "oval"}, "`kind` must be one of round, square. Received: 'oval'"),
        ({"kind": 3}, "`kind` must be of type str. Received: 3"),
        ({"wanted": 1}, "`wanted` must be of type bool. Received: 1"),
        ({"limit": 0}, "`limit` must be at least 1. Received: 0"),
        ({"limit": 1.5}, "`limit` must be of type int. Received: 1.5"),
        ({"names": "ab"}, "`names` must be of type tuple. Received: 'ab'"),
        ({"names": None}, "`names` must be of type tuple. Received: None"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused(values, rule):
    with pytest.raises(InputError) as error:
        Example(**values)
    assert str(error.value) == rule


@pytest.mark.parametrize(
    "values",
    [
        {"count": 1},
        {"count": 5},
        {"rate": 1e-9},
        {"rate": 0.999},
        {"kind": "square"},
        {"wanted": True},
        {"limit": None},
        {"limit": 1},
        {"names": ()},
    ],
)
def test_values_up_to_the_limits_are_accepted_and_survive_json(values):
    config = Example(**values)
    read = Example.from_dict(json.loads(json.dumps(config.to_dict())))
    assert read == config
    for name, value in values.items():
        assert getattr(read, name) == value


def test_lists_become_tuples_so_that_configs_compare_and_hash():
    config = Example(names=["x", "y"])
    assert config.names == ("x", "y")
    assert config == Example(names=("x", "y"))
    assert len({config, Example(names=("x", "y"))}) == 1
    assert config.to_dict()["names"] == ["x", "y"]


def test_a_config_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Example().count = 2
    values = Example().to_dict()
    values["names"].append("c")
    assert Example().names == ("a", "b")


def test_a_changed_copy_is_checked_too():
    with pytest.raises(InputError, match="`count` must be at most 5"):
        dataclasses.replace(Example(), count=9)


@pytest.mark.parametrize(
    ("values", "received"),
    [
        ({}, "Received: []"),
        ({**Example().to_dict(), "more": 1}, "'more'"),
        ({"count": 3}, "Received: ['count']"),
        (None, "Received: None"),
        ([1, 2], "Received: [1, 2]"),
        ("count", "Received: count"),
    ],
)
def test_json_must_have_exactly_the_fields(values, received):
    with pytest.raises(InputError) as error:
        Example.from_dict(values)
    message = str(error.value)
    assert "Example has the fields ['count', 'kind', 'limit'" in message
    assert received in message
    assert "\n" not in message


def test_a_field_carries_its_flags_help_and_range():
    field = next(field for field in dataclasses.fields(Example) if field.name == "kind")
    assert field.metadata["help"] == "A kind."
    assert field.metadata["choices"] == ("round", "square")
    assert field.default == "round"
