"""Sources as sums of stems: files hold stems, a network separates sources."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from waveunet_tf.errors import InputError


def stems_of(
    source: str, names: Collection[str], *, vocals_may_lack: bool = False
) -> tuple[str, ...]:
    """Lists the stems of which a source is the sum.

    Args:
        source: The source's name. A stem's name stands for the stem; `accompaniment`,
            where no stem has that name, for all stems but the vocals.
        names: The names of the stems that there are.
        vocals_may_lack: Whether stems without vocals have an accompaniment.

    Returns:
        The stems' names; empty where the source is missing.
    """
    if source in names:
        return (source,)
    if source == "accompaniment" and ("vocals" in names or vocals_may_lack):
        return tuple(name for name in names if name != "vocals")
    return ()


def lack_of(source: str, names: Collection[str]) -> str:
    """Says what a track lacks that has no such source, for errors.

    Args:
        source: The source that is missing.
        names: The names of the stems that there are.
    """
    if source == "accompaniment" and "vocals" not in names:
        return "neither accompaniment nor vocals"
    return f"no source {source}"


def stems_of_sources(
    sources: Sequence[str],
    names: Collection[str],
    place: object,
    merges: Mapping[str, Sequence[str]] | None = None,
) -> tuple[tuple[str, ...], ...]:
    """Lists the stems of each of a network's sources.

    Args:
        sources: The names of the network's sources.
        names: The names of the stems that there are.
        place: The folder or track of the stems, for errors.
        merges: Stems that `prepare --merge` made → what each is the sum of.

    Raises:
        InputError: A source is missing, or would hold a part of the music twice, or the
            vocals in the accompaniment.
    """
    # Sorted, because a folder and a manifest list the same names in other orders.
    stems = tuple(tuple(sorted(stems_of(source, names))) for source in sources)
    if missing := [source for source, of in zip(sources, stems) if not of]:
        raise InputError(
            f"{place} must have the network's sources {', '.join(sources)}, but lacks "
            f"{', '.join(missing)}; `prepare --sources` makes them"
        )
    for source, of in zip(sources, stems):
        if len(of) > 1:
            _require_disjoint(of, merges or {}, f"{place} {source}")
    return stems


def _require_disjoint(
    stems: Sequence[str], merges: Mapping[str, Sequence[str]], what: str
) -> None:
    """Requires that no two of an accompaniment's stems hold the same music.

    Raises:
        InputError: Two do, or one holds the vocals.
    """
    holder = {"vocals": "vocals"}
    for stem in stems:
        for part in merges.get(stem, (stem,)):
            if part in holder:
                raise InputError(
                    f"{what} must be a sum of stems that do not overlap, but {stem} "
                    f"and {holder[part]} both hold {part}; `prepare --sources` makes "
                    "it a stem of its own"
                )
            holder[part] = stem
