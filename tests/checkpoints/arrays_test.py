import h5py
import numpy as np
import pytest

from waveunet_tf.checkpoints import arrays
from waveunet_tf.errors import InputError


class Variable:
    """Plays a variable of Keras."""

    def __init__(self, shape, path="layer/kernel"):
        self.shape, self.path, self.value = shape, path, np.zeros(shape, np.float32)

    def __array__(self, *_, **__):
        return self.value


def variables(*shapes):
    return [Variable(shape) for shape in shapes]


@pytest.fixture
def path(tmp_path):
    """A file of three arrays in groups."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"] = np.zeros((2, 3))
        file["group/two"] = np.zeros((2, 3))
        file["group/deeper/three"] = np.zeros(())
    return tmp_path / "a.h5"


def load(path, *shapes, load_all=lambda: None):
    arrays.load_exactly(path, variables(*shapes), load_all)


def test_arrays_of_the_expected_shapes_are_loaded_in_any_order(path):
    calls = []
    load(path, (), (2, 3), (2, 3), load_all=lambda: calls.append("loaded"))
    assert calls == ["loaded"]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 3), (2, 3)], r"the config's 2 arrays. Received: 3 arrays, .* shape \(\)"),
        ([(2, 3), ()], "the config's 2 arrays. Received: 3 arrays$"),
        ([(2, 3), (2, 3), (), ()], "the config's 4 arrays. Received: 3 arrays$"),
        ([(2, 3), (3, 2), ()], "the config's 3 arrays. Received: 3 arrays$"),
        ([(2, 4), (2, 4), ()], r"Received: 3 arrays, one of them of shape \(2, 3\)$"),
    ],
)
def test_other_arrays_are_refused_before_anything_is_loaded(path, shapes, message):
    with pytest.raises(InputError, match=message):
        load(path, *shapes, load_all=lambda: pytest.fail("loaded"))


@pytest.mark.parametrize("error", [OSError, KeyError, ValueError, RuntimeError])
def test_an_error_while_loading_names_the_file_in_one_line(path, error):
    def fail():
        raise error("no such group\n  in detail")

    with pytest.raises(InputError) as refusal:
        load(path, (2, 3), (2, 3), (), load_all=fail)
    assert str(refusal.value).startswith(f"{path}: must be whole, but is broken: ")
    assert "no such group" in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no HDF5", None])
def test_a_file_that_is_no_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "b.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: must be whole, but is broken"):
        load(path, (2, 3))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_none_are_refused_and_the_array_is_named(path, number):
    loaded = [Variable((2, 3), "down_0/kernel"), *variables((2, 3), ())]

    def load_all():
        with np.errstate(over="ignore"):
            loaded[0].value[1, 2] = number

    with pytest.raises(InputError, match="finite .* NaN or infinity in down_0/kernel$"):
        arrays.load_exactly(path, loaded, load_all)


def plant(file, kind, other):
    """Puts in the place of `one` numbers that lie elsewhere, in the file `other`."""
    del file["one"]
    if kind == "external link":
        file["one"] = h5py.ExternalLink(str(other), "/secret")
    elif kind == "link to a file that is not there":
        file["one"] = h5py.ExternalLink("nowhere.h5", "/secret")
    elif kind == "link within the file":
        file["one"] = h5py.SoftLink("/group/two")
    elif kind == "external numbers":
        raw = [(str(other), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("one", (2, 3), "f4", external=raw)
    elif kind == "no numbers":
        file["one"] = h5py.Empty("f4")
    else:
        layout = h5py.VirtualLayout((2, 3), "f4")
        layout[:] = h5py.VirtualSource(str(other), "secret", (2, 3))
        file.create_virtual_dataset("one", layout)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("external link", "Received: a link in '/one'"),
        ("link to a file that is not there", "Received: a link in '/one'"),
        ("link within the file", "Received: a link in '/one'"),
        ("external numbers", "Received: numbers of other files .* in '/one'"),
        ("virtual", "Received: numbers of other files .* in '/one'"),
        ("no numbers", "must be whole|must hold the config's 3 arrays"),
    ],
)
def test_numbers_of_other_files_are_refused_before_they_are_read(
    path, tmp_path, kind, what
):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones((2, 3), np.float32)
    with h5py.File(path, "r+") as file:
        plant(file, kind, tmp_path / "other.h5")
    with pytest.raises(InputError, match=f"^{path}: .*{what}") as refusal:
        load(path, (2, 3), (2, 3), (), load_all=lambda: pytest.fail("loaded"))
    assert len(str(refusal.value).splitlines()) == 1


def test_a_circle_of_groups_and_an_array_of_two_names_are_counted_once(path):
    with h5py.File(path, "r+") as file:
        file["group/deeper/circle"] = file["group"]
        file["again"] = file["one"]
    calls = []
    load(path, (), (2, 3), (2, 3), load_all=lambda: calls.append("loaded"))
    assert calls == ["loaded"]


def test_a_group_behind_a_link_is_refused_where_the_link_is(path, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["two"] = np.ones((2, 3))
    with h5py.File(path, "r+") as file:
        file["group/far"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    with pytest.raises(InputError, match="a link in '/group/far'$"):
        load(path, (2, 3), (2, 3), (), load_all=lambda: pytest.fail("loaded"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_npz_is_named_wherever_the_damage_is(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, one=np.arange(40.0), two=np.zeros((2, 3), np.float32))
    whole = path.read_bytes()
    assert arrays.read_npz(path)["one"].tolist() == np.arange(40.0).tolist()
    refused = 0
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place : place + 5] = b"(\0\xff{\n"
        path.write_bytes(damaged)
        try:
            arrays.read_npz(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: must be a whole .npz of arrays")
            refused += 1
    assert refused > 20


def test_an_npz_that_is_none_or_holds_objects_is_named(tmp_path):
    path = tmp_path / "a.npz"
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="a.npz: must be a whole .npz of arrays"):
        arrays.read_npz(path)
    for content in (b"", b"PK\3\4", b"no arrays"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="a.npz: must be a whole .npz of arrays"):
            arrays.read_npz(path)
    np.savez(path, one=np.array([{}]))
    with pytest.raises(InputError, match="a.npz: must be a whole .npz of arrays"):
        arrays.read_npz(path)
    with pytest.raises(FileNotFoundError):
        arrays.read_npz(tmp_path / "b.npz")
