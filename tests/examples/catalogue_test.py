"""The manifest for Kubernetes, read; its schema needs kubernetes-validate."""

import pytest
import yaml

from tests import documents
from tests.command_line import ROOT, run_here
from waveunet_tf.commands import app


@pytest.fixture(scope="module")
def objects():
    """Kind and name → object."""
    text = (ROOT / "examples" / "catalogue.yaml").read_text(encoding="utf-8")
    return {
        (each["kind"], each["metadata"]["name"].partition("-")[2]): each
        for each in yaml.safe_load_all(text)
    }


def container_of(found):
    (container,) = found["spec"]["template"]["spec"]["containers"]
    return container


def test_the_parts_find_each_other(objects):
    scheduler, worker, job = (
        objects["Deployment", "scheduler"],
        objects["Deployment", "worker"],
        objects["Job", "catalogue"],
    )
    for deployment in (scheduler, worker):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == labels
    service = objects["Service", "scheduler"]
    pods = scheduler["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == pods
    (port,) = service["spec"]["ports"]
    (opened,) = container_of(scheduler)["ports"]
    assert port["port"] == opened["containerPort"]
    address = f"tcp://{service['metadata']['name']}:{port['port']}"
    assert address in container_of(worker)["command"]
    assert f"--scheduler={address}" in container_of(job)["command"]
    for pod in (worker, job):
        volumes = {each["name"] for each in pod["spec"]["template"]["spec"]["volumes"]}
        (mount,) = container_of(pod)["volumeMounts"]
        assert volumes == {mount["name"]}


def test_the_commands_have_right_flags(objects, monkeypatch):
    run = app.run
    monkeypatch.setattr(app, "run", lambda main, **options: run(_nothing, **options))
    for kind, name in objects:
        if kind == "Service":
            continue
        words = container_of(objects[kind, name])["command"]
        assert all(isinstance(word, str) for word in words)
        if words[0] == "dask":
            assert documents.refusal_of_dask(words) == ""
        else:
            assert words[0] == "waveunet"
            result = run_here("waveunet_tf", *words[1:])
            assert result.returncode == 0, result.stderr


def _nothing(_):
    return 0
