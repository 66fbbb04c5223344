"""CITATION.cff, which names the project and the paper."""

import re
import subprocess
import sys

import pytest
import yaml

import waveunet_tf
from tests.project import PROJECT, ROOT


def test_the_citation_is_that_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == waveunet_tf.__version__
    assert citation["authors"] == PROJECT["authors"]
    (paper,) = citation["references"]
    assert paper["url"] == PROJECT["urls"]["Paper"]
    number = re.search(r"arXiv (\d+\.\d+)", waveunet_tf.__doc__)[1]
    assert paper["url"].endswith(number)


@pytest.mark.slow
def test_the_citation_keeps_its_schema(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    words = ["install", "--quiet", "--disable-pip-version-check", "cffconvert"]
    if subprocess.run([tmp_path / "bin" / "pip", *words], check=False).returncode:
        pytest.skip("needs a network: pip finds no cffconvert")
    command = [tmp_path / "bin" / "cffconvert", "--validate"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
