import logging

import pytest
import tensorflow as tf

from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.system import cuda_libraries
from waveunet_tf.training import compute_choice
from waveunet_tf.training.devices import Devices

AUTO = ComputeConfig()


class OneCard(Devices):
    kind = "GPU"


@pytest.fixture
def card_of(monkeypatch):
    """Lets TensorFlow tell of one or more cards."""

    def install(*capabilities, ptxas="/cuda/bin/ptxas"):
        details = [
            {"device_name": "a card", "compute_capability": capability}
            if capability
            else {}
            for capability in capabilities
        ]
        numbers = list(range(len(details)))
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda _: numbers)
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", details.__getitem__
        )
        monkeypatch.setattr(cuda_libraries, "ptxas_path", lambda: ptxas)
        return OneCard(tf.distribute.get_strategy())

    return install


def chosen(devices, variant="M5", compute=AUTO):
    choice = compute_choice.choose(compute, VARIANTS[variant], devices)
    return choice.precision, choice.jit_compile


@pytest.mark.parametrize(
    "capabilities, precision",
    [
        ([(9, 0)], "mixed_bfloat16"),
        ([(8, 0)], "mixed_bfloat16"),
        ([(10, 0)], "mixed_bfloat16"),
        ([(7, 5)], "mixed_float16"),
        ([(7, 0)], "mixed_float16"),
        ([(6, 1)], "float32"),
        ([(9, 0), (7, 5)], "mixed_float16"),  # the least decides
        ([None], "float32"),
        ([(9, 0), None], "float32"),
    ],
)
def test_the_compute_capability_of_the_cards_decides(card_of, capabilities, precision):
    assert chosen(card_of(*capabilities)) == (precision, True)


def test_without_ptxas_xla_does_not_compile_and_the_log_says_what_brings_it(
    card_of, caplog
):
    caplog.set_level(logging.INFO, logger="absl")
    assert chosen(card_of((8, 6), ptxas=None)) == ("mixed_bfloat16", False)
    assert "computing in mixed_bfloat16, not compiled by XLA" in caplog.text
    assert "compute capability 8.6" in caplog.text
    assert "pip install nvidia-cuda-nvcc-cu12" in caplog.text


def test_what_flags_say_is_left_alone(card_of):
    compute = ComputeConfig(precision="float32")
    assert chosen(card_of((9, 0)), compute=compute) == ("float32", False)


@pytest.mark.parametrize("ptxas", ["/cuda/bin/ptxas", None])
@pytest.mark.parametrize("variant", ["M5", "U7"])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["auto", "mixed_float16"])
def test_a_flag_about_xla_is_left_alone(card_of, ptxas, variant, compiled, precision):
    compute = ComputeConfig(precision=precision, jit_compile=compiled)
    devices = card_of((9, 0), ptxas=ptxas)
    _, found = chosen(devices, variant=variant, compute=compute)
    assert found is compiled


def test_networks_of_spectrograms_stay_in_float32(card_of):
    assert chosen(card_of((9, 0)), variant="U7") == ("float32", False)


@pytest.mark.parametrize("compiled", [None, False, True])
def test_a_cpu_computes_in_float32_and_tells_nothing(caplog, compiled):
    caplog.set_level(logging.INFO, logger="absl")
    devices = Devices(tf.distribute.get_strategy())
    compute = ComputeConfig(jit_compile=compiled)
    assert chosen(devices, compute=compute) == ("float32", bool(compiled))
    assert not caplog.text
