import pathlib
import re

import pytest
import tensorflow as tf
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from tests.command_line import run_here
from waveunet_tf.export.serving import server_files


def message(name, **fields):
    """An empty message of the fields that the server's source gives it.

    The package of the official messages has neither of these configs.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto",
        package=name,
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="enable", number=1, type=kinds.TYPE_BOOL, label=1)
    inner.field.add(name="path", number=2, type=kinds.TYPE_STRING, label=1)
    outer = file.message_type.add(name="Outer")
    for number, (field, kind) in enumerate(fields.items(), 1):
        added = outer.field.add(name=field, number=number, label=1)
        if kind is bool:
            added.type = kinds.TYPE_BOOL
        else:
            added.type, added.type_name = kinds.TYPE_MESSAGE, kind
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    descriptor_pool.Default().FindFileByName(
        "google/protobuf/wrappers.proto"
    ).CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{name}.Outer")
    )()


def test_models_config_names_the_version_and_its_label(tmp_path):
    server_files.write_configs(tmp_path, "songs", 3)
    text = (tmp_path / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("songs", "/models/songs")
    assert model.model_platform == "tensorflow"
    assert list(model.model_version_policy.specific.versions) == [3]
    assert dict(model.version_labels) == {"stable": 3}


def test_batching_and_monitoring_are_configs_of_the_server(tmp_path):
    server_files.write_configs(tmp_path, "songs", 3)
    # tensorflow_serving/servables/tensorflow/session_bundle_config.proto
    whole = ".google.protobuf.Int64Value"
    names = "max_batch_size batch_timeout_micros max_enqueued_batches num_batch_threads"
    fields = {**dict.fromkeys(names.split(), whole), "pad_variable_length_inputs": bool}
    text = (tmp_path / "batching.config").read_text()
    batching = text_format.Parse(text, message("batching", **fields))
    assert batching.max_batch_size.value <= 64
    # Fills shorter songs with their first sample, and stems would not be exact.
    assert not batching.pad_variable_length_inputs
    # tensorflow_serving/config/monitoring_config.proto
    text = (tmp_path / "monitoring.config").read_text()
    empty = message("monitoring", prometheus_config=".monitoring.Inner")
    monitoring = text_format.Parse(text, empty)
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path.startswith("/monitoring/")


def test_the_server_is_for_its_own_machine_alone(tmp_path):
    """TensorFlow Serving asks nobody who he is."""
    server_files.write_configs(tmp_path, "songs", 1)
    compose = yaml.safe_load((tmp_path / "compose.yaml").read_text())
    for service in compose["services"].values():
        assert [port.rpartition(":")[0] for port in service["ports"]] == [
            "127.0.0.1:8500",
            "127.0.0.1:8501",
        ]


def test_docker_without_compose_gets_the_same_flags():
    page = (pathlib.Path(__file__).parents[3] / "docs" / "serve.md").read_text("utf-8")
    (command,) = re.findall(r"^docker run .*tensorflow/serving[^`]*", page, re.S | re.M)
    compose = yaml.safe_load((server_files.TEMPLATES / "compose.yaml").read_text())
    told = set(re.findall(r"--\S+=\S+", command))
    assert told == set(compose["x-server"]["command"])


def test_compose_starts_the_server_with_files_that_are_there(tmp_path):
    server_files.write_configs(tmp_path, "songs", 3)
    compose = yaml.safe_load((tmp_path / "compose.yaml").read_text())
    assert sorted(compose["services"]) == ["cpu", "gpu"]
    for name, service in compose["services"].items():
        assert service["image"].startswith("tensorflow/serving:2.16.1")
        assert service["profiles"] == [name]
        assert service["volumes"] == [".:/models:ro"]
        flags = dict(flag[2:].split("=") for flag in service["command"])
        for value in flags.values():
            if value.startswith("/models/"):
                assert (tmp_path / value.removeprefix("/models/")).exists()
        # Or else the server does not start where versions have labels.
        assert flags["allow_version_labels_for_unavailable_models"] == "true"
    (device,) = compose["services"]["gpu"]["deploy"]["resources"]["reservations"][
        "devices"
    ]
    assert device["capabilities"] == ["gpu"]


def test_what_is_there_stays_and_one_is_told(tmp_path):
    assert server_files.write_configs(tmp_path, "songs", 1) == ""
    (tmp_path / "batching.config").write_text("mine")
    before = (tmp_path / "models.config").read_text()
    assert "stays as it is" in server_files.write_configs(tmp_path, "songs", 2)
    assert (tmp_path / "models.config").read_text() == before
    assert (tmp_path / "batching.config").read_text() == "mine"
    (tmp_path / "models.config").write_bytes("# für uns".encode("latin-1"))
    assert "stays as it is" in server_files.write_configs(tmp_path, "songs", 1)


@pytest.mark.slow
@pytest.mark.xdist_group("saved_model")
def test_warm_up_has_a_request_for_each_signature_that_runs(tiny_model_dir):
    folder = tiny_model_dir / "waveunet" / "1"
    signatures = tf.saved_model.load(str(folder)).signatures
    path = str(folder / "assets.extra" / "tf_serving_warmup_requests")
    content = (folder / "saved_model.pb").read_bytes()
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    warmed = []
    for record in tf.data.TFRecordDataset(path):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == "waveunet"
        inputs = {
            name: tf.constant(tf.make_ndarray(tensor))
            for name, tensor in request.inputs.items()
        }
        # Or else a server that batches could not load the model.
        outputs = meta_graph.signature_def[request.model_spec.signature_name].outputs
        assert inputs or {*request.output_filter} < {*outputs}
        signatures[request.model_spec.signature_name](**inputs)
        warmed.append(request.model_spec.signature_name)
    assert sorted(warmed) == sorted(signatures)


def test_warm_up_is_silence_in_few_bytes(tiny_model_dir):
    """The states of a stream are many values, but all are zeros."""
    path = tiny_model_dir / "waveunet" / "1" / server_files.WARM_UP
    assert path.stat().st_size < 100_000


def export(*arguments):
    return run_here("waveunet_tf export", *arguments)


@pytest.mark.slow
def test_the_command_exports_a_saved_model_once(tiny_checkpoint, tmp_path):
    flags = [
        f"--checkpoint={tiny_checkpoint}",
        f"--output={tmp_path / 'models'}",
        *("--formats=saved_model", "--model_name=songs", "--version=2"),
    ]
    result = export(*flags)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "models" / "songs" / "2"
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    assert re.fullmatch(
        rf"{folder}: {size:.2f} MB, largest difference from the network \S+\n",
        result.stdout,
    )
    assert (folder / "saved_model.pb").exists()
    assert (folder / "assets.extra" / "tf_serving_warmup_requests").exists()
    assert (tmp_path / "models" / "compose.yaml").exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["2"]
    again = export(*flags)
    assert again.returncode == 1
    assert f"{folder}: must be a new or empty folder, or --overwrite" in again.stderr


def test_what_cannot_be_exported_leaves_nothing(tmp_path):
    result = export(
        f"--checkpoint={tmp_path}", f"--output={tmp_path}/o", "--formats=saved_model"
    )
    assert result.returncode == 1
    assert "must be a checkpoint" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--model_name=a/b", "--model_name=", "--version=0"])
def test_names_that_no_server_takes_are_bad_usage(tmp_path, flag):
    result = export(
        "--checkpoint=c", f"--output={tmp_path}", "--formats=saved_model", flag
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
