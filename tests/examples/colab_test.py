import pathlib

import nbformat
import pytest

NOTEBOOK = pathlib.Path(__file__).parents[2] / "examples" / "colab.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_valid_and_holds_no_outputs(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and not cell.execution_count for cell in code)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.slow
def test_the_notebook_separates_shows_and_plays_a_song(notebook, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("WAVEUNET_TF_NOTEBOOK_PACKAGES", "")
    executed = nbclient.execute(
        notebook, cwd=tmp_path, timeout=300, kernel_name="python3"
    )
    kinds = [
        kind
        for cell in executed.cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    ]
    assert kinds.count("text/html") == 2  # players
    assert kinds.count("image/png") == 1  # spectrograms
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"vocals.wav", "accompaniment.wav", "vocals.flac", "no_vocals.flac"}
