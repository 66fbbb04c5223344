import pytest

from tests.command_line import check_refusal, run_here
from waveunet_tf.errors import InputError
from waveunet_tf.export import artefact_flags


@pytest.fixture
def folder(tmp_path):
    for name in ("b.tflite", "a.tflite", "deep/er/c.tflite", "parity.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_files_of_a_folder_are_found_by_name(folder):
    found = artefact_flags.find_artefacts(folder, recursive=False)
    assert found == [folder / "a.tflite", folder / "b.tflite"]


def test_files_of_its_folders_are_found_where_they_count(folder):
    found = artefact_flags.find_artefacts(folder, recursive=True)
    assert found[-1] == folder / "deep/er/c.tflite" and len(found) == 3


@pytest.mark.parametrize("name", ["deep", "none"])
def test_a_folder_without_files_is_refused(folder, name):
    with pytest.raises(InputError, match=rf"{name}: must be a folder of \*\.tflite"):
        artefact_flags.find_artefacts(folder / name, recursive=False)


@pytest.mark.parametrize(
    ("command", "seconds"),
    [("waveunet_tf arm64", "1.0"), ("waveunet_tf parity", "30.0")],
)
def test_both_commands_have_the_flags_with_their_own_default(command, seconds):
    text = run_here(command, "--help").stdout
    assert "--artifacts" in text and "--data_dir" in text
    _, _, rest = text.partition("--max_seconds")
    assert f"(default: '{seconds}')" in rest.partition("--")[0]


@pytest.mark.parametrize(
    ("command", "flags"),
    [("waveunet_tf arm64", []), ("waveunet_tf parity", ["--checkpoint=c"])],
)
def test_a_folder_of_files_is_required(command, flags):
    check_refusal(run_here(command, *flags), 2, "artifacts")


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("waveunet_tf arm64", ["--max_seconds=0"]),
        ("waveunet_tf parity", ["--checkpoint=c", "--max_seconds=0.9"]),
    ],
)
def test_a_part_too_short_to_measure_is_refused(command, flags, tmp_path):
    result = run_here(command, f"--artifacts={tmp_path}", *flags)
    check_refusal(result, 2, "max_seconds")
