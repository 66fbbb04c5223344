"""What an exported model and its client agree on, without a server."""

import json

import pytest

from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import contract
from waveunet_tf.export.serving.client import RemoteSeparator
from waveunet_tf.networks import shapes


def test_no_state_of_a_network_has_the_name_of_the_fingerprint():
    assert contract.FINGERPRINT.startswith("state_")
    for config in VARIANTS.values():
        if config.can_stream:
            names = shapes.stream_state_frames(config)
            assert contract.FINGERPRINT.removeprefix("state_") not in names


@pytest.mark.parametrize("version", [contract.DESCRIPTION_VERSION + 1, None])
def test_a_client_refuses_a_description_of_another_version(version):
    class Transport:
        def describe(self):
            network = VARIANTS["M4"].to_json()
            return json.dumps({"format_version": version, "network": network})

    with pytest.raises(InputError, match=f"format version 1. Received: {version}"):
        RemoteSeparator(Transport())


@pytest.mark.xdist_group("saved_model")
def test_an_exported_model_keeps_its_part(tiny_model_dir):
    import tensorflow as tf

    folder = tiny_model_dir / "waveunet" / "1"
    signatures = tf.saved_model.load(str(folder)).signatures
    description = json.loads(signatures["describe"]()["config"].numpy())
    assert description["format_version"] == contract.DESCRIPTION_VERSION
    state = signatures["initial_state"](batch=tf.constant(2))
    fingerprint = [description["fingerprint"]] * 2
    assert list(state[contract.FINGERPRINT].numpy()) == fingerprint
    assert contract.FINGERPRINT in signatures["stream"].structured_outputs
