"""What is packed into the wheel and the source distribution, and what they say."""

import email
import os
import pathlib
import re
import tarfile
import zipfile

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import waveunet_tf
from tests import project
from tests.command_line import run_python
from tests.project import EXTRAS, PROJECT, PYPROJECT, ROOT

pytestmark = pytest.mark.xdist_group("packages")
# Folder of the project → the package that it is.
PACKAGES = {
    "waveunet_tf/": "waveunet_tf/",
    "evaluate/": "waveunet_tf/evaluate/",
    "export/": "waveunet_tf/export/",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution and the wheel."""
    return project.build(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A folder with the wheel's packages, as pip puts them there."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(built[1]) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata(installed):
    (path,) = installed.glob("*.dist-info/METADATA")
    return email.message_from_string(path.read_text(encoding="utf-8"))


def test_every_package_of_the_tree_is_named():
    packages = set()
    for folder, target in PACKAGES.items():
        for path in (ROOT / folder).rglob("*.py"):
            below = path.parent.relative_to(ROOT / folder)
            if "node_modules" not in below.parts:
                packages.add(".".join(pathlib.Path(target, below).parts))
    named = PYPROJECT["tool"]["setuptools"]["packages"]
    assert sorted(packages) == sorted(named)


def packed(name: str) -> str | None:
    """The name in the wheel of a file of the project; None if it is not for users."""
    folder = f"{pathlib.PurePosixPath(name).parts[0]}/"
    app = name.startswith("export/android/") and not name.endswith(".py")
    checks = name in ("export/web/eslint.config.js", "export/web/tsconfig.json")
    notes = name.endswith(".md") and "/pretrained/" not in name
    if folder not in PACKAGES or app or checks or notes or name.endswith(".png"):
        return None
    return PACKAGES[folder] + name.removeprefix(folder)


def test_the_wheel_has_every_module_model_and_page_and_nothing_else(built):
    names = {name for name in project.names_in(built[1]) if ".dist-info/" not in name}
    assert names == {packed(name) for name in project.files()} - {None}
    for name in (
        "waveunet_tf/py.typed",
        "waveunet_tf/evaluate/report/web/page.html",
        "waveunet_tf/evaluate/report/vendor/licences/uPlot.txt",
        "waveunet_tf/export/serving/templates/compose.yaml",
        "waveunet_tf/export/web/package-lock.json",
        "waveunet_tf/export/web/engine/worker.js",
        "waveunet_tf/export/web/page/index.html",
        "waveunet_tf/pretrained/vocals-small/step-32768.tflite",
        "waveunet_tf/pretrained/vocals-small/network.weights.h5",
        "waveunet_tf/pretrained/vocals-small/README.md",
        "waveunet_tf/pretrained/vocals-small/LICENSE",
    ):
        assert name in names


def test_the_wheel_is_a_small_download(built):
    assert built[1].stat().st_size < 80e6


def test_the_source_distribution_has_what_the_checkout_has(built):
    if not (ROOT / ".git").exists():
        pytest.skip("compares with what git lists, and this is no checkout")
    with tarfile.open(built[0]) as archive:
        names = {
            member.name.partition("/")[2]
            for member in archive.getmembers()
            if member.isfile()
        }
    made = {name for name in names if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert names - made == project.files()


def test_licences_of_code_and_model_lie_beside_each_other(installed, metadata):
    expression = metadata["License-Expression"]
    assert expression.startswith("MIT AND ")
    assert "LicenseRef-" in expression
    named = metadata.get_all("License-File")
    (licences,) = installed.glob("*.dist-info/licenses")
    there = {
        path.relative_to(licences).as_posix()
        for path in licences.rglob("*")
        if path.is_file()
    }
    assert there == set(named)
    assert (licences / "LICENSE").read_text().startswith("MIT License")
    for model in (ROOT / "waveunet_tf" / "pretrained").iterdir():
        text = (licences / f"waveunet_tf/pretrained/{model.name}/LICENSE").read_text()
        assert "research" in text
    bundled = (ROOT / "evaluate" / "report" / "vendor" / "licences").iterdir()
    assert {path.name for path in bundled} < {pathlib.Path(name).name for name in named}


def test_the_version_is_written_once(metadata):
    assert metadata["Version"] == waveunet_tf.__version__
    assert PROJECT["dynamic"] == ["version"]


def test_authors_are_those_of_the_licence(metadata):
    assert f"Copyright (c) 2026 {metadata['Author']}" in (ROOT / "LICENSE").read_text()


def test_links_of_the_page_for_pypi_work_there(metadata):
    text = metadata.get_payload()
    assert text.strip() == (ROOT / PROJECT["readme"]).read_text().strip()
    links = re.findall(r"\]\(([^)]*)\)|<(?:img|a)[^>]*(?:src|href)=\"([^\"]*)", text)
    for link in links:
        assert "".join(link).startswith("https://"), link
    assert links
    for extra in {*EXTRAS}:
        assert f"waveunet-tf[{extra}]" in text


def test_the_command_of_the_wheel_works_from_anywhere(installed, tmp_path):
    """Beside it someone else's `evaluate`, as PyPI has one, and `export`."""
    for name in ("evaluate", "export"):
        (tmp_path / "others" / name).mkdir(parents=True)
        (tmp_path / "others" / name / "__init__.py").write_text("OTHERS = True")
    code = """
import importlib.metadata, sys
import evaluate, export
assert evaluate.OTHERS and export.OTHERS
(distribution,) = importlib.metadata.distributions(
    name="waveunet-tf", path=sys.path[1:2])
(entry,) = distribution.entry_points
assert entry.name == "waveunet"
sys.argv[0] = entry.name
entry.load()()
"""
    path = os.pathsep.join([str(installed), str(tmp_path / "others")])
    for arguments, text in (
        (["--help"], "Scores"),
        (["models"], "vocals"),
        (["report", "--help"], "waveunet report"),
    ):
        words = ("-c", code, *arguments)
        result = run_python(*words, folder=tmp_path, PYTHONPATH=path)
        assert result.returncode == 0, result.stderr
        assert text in result.stdout


@pytest.mark.parametrize(
    ("name", "python"),
    [
        *(("requirements.txt", python) for python in ("3.10", "3.11", "3.12")),
        ("requirements-latest.txt", "3.13"),
    ],
)
def test_every_requirement_has_a_pin_within_its_range(name, python):
    environment = {**default_environment(), "python_version": python}
    pins = {}
    for line in (ROOT / name).read_text().splitlines():
        pin = None if line.startswith("#") else Requirement(line)
        if pin and (not pin.marker or pin.marker.evaluate(environment)):
            (version,) = pin.specifier
            assert version.operator == "==", line
            assert pins.setdefault(canonicalize_name(pin.name), version.version)
    lines = [*PROJECT["dependencies"], *PYPROJECT["build-system"]["requires"]]
    for extra in {*EXTRAS} - {"beam", "dask"}:
        lines += EXTRAS[extra]
    for requirement in map(Requirement, lines):
        name = canonicalize_name(requirement.name)
        if name == PROJECT["name"]:
            continue  # [all] is the others
        if not requirement.marker or requirement.marker.evaluate(environment):
            assert requirement.specifier.contains(pins[name]), requirement
