"""Sources as sums of stems: what lies in files, and what a network separates."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from waveunet_tf.errors import InputError


def stems_of(
    source: str, names: Collection[str], *, vocals_may_lack: bool = False
) -> tuple[str, ...]:
    """The stems of which a source is the sum.

    Args:
        source: its name. That of a stem stands for the stem; `accompaniment`, where no
            stem has that name, for all stems but the vocals.
        names: the stems that there are.
        vocals_may_lack: whether there is an accompaniment where there are no vocals.

    Returns:
        Their names; none where there is no such source.
    """
    if source in names:
        return (source,)
    if source == "accompaniment" and ("vocals" in names or vocals_may_lack):
        return tuple(name for name in names if name != "vocals")
    return ()


def stems_of_sources(
    sources: Sequence[str], names: Collection[str], place: object
) -> tuple[tuple[str, ...], ...]:
    """The stems of each of a network's sources.

    Args:
        sources: the network's.
        names: the stems that there are.
        place: where they lie, for errors.

    Raises:
        InputError: a source is missing.
    """
    # Sorted, for a folder and a manifest list the same names in other orders.
    stems = tuple(tuple(sorted(stems_of(source, names))) for source in sources)
    if missing := [source for source, of in zip(sources, stems) if not of]:
        raise InputError(
            f"{place} must have the network's sources {', '.join(sources)}, but lacks "
            f"{', '.join(missing)}; `prepare --sources` makes them"
        )
    return stems
