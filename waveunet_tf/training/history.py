"""The history of a training: a line of JSON for each epoch and each way back."""

from __future__ import annotations

import json
import os
import pathlib

from waveunet_tf.errors import InputError
from waveunet_tf.system import files

HISTORY = "history.jsonl"


class History:
    """The file `history.jsonl` of a training.

    A line is an epoch or, with the key `rollback`, tells that the training was lost and
    went back.
    """

    def __init__(self, workdir: str | os.PathLike):
        """Names the file; nothing is read or written yet.

        Args:
            workdir: The training's folder.
        """
        self.path = pathlib.Path(workdir) / HISTORY

    def append(self, record: dict) -> None:
        """Adds a line.

        Raises:
            OSError: The file cannot be written.
        """
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def match(self, epoch: int, rollbacks: list[dict]) -> None:
        """Makes the file that of a state: nothing later, and each way back.

        Args:
            epoch: The number of the state's finished epochs.
            rollbacks: Its ways back, see guard.Guard.

        Raises:
            InputError: A line is broken.
            OSError: The file cannot be written.
        """
        if not self.path.exists() and not rollbacks:
            return
        kept, told = [], []
        for record in self._records():
            if "rollback" not in record:
                if record["epoch"] <= epoch:
                    kept.append(record)
            elif record in rollbacks:
                kept.append(record)
                told.append(record)
        kept += [record for record in rollbacks if record not in told]
        with files.atomic_file(self.path) as part:
            lines = [json.dumps(record) + "\n" for record in kept]
            part.write_text("".join(lines), encoding="utf-8")

    def epochs(self) -> list[dict]:
        """Lists the epochs.

        Raises:
            InputError: A line is broken.
        """
        return [record for record in self._records() if "rollback" not in record]

    def _records(self) -> list[dict]:
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8", errors="replace")
        return [
            _record_of(line, f"{self.path}, line {number}")
            for number, line in enumerate(text.splitlines(keepends=True), 1)
            if line.endswith("\n")  # a kill may leave half a line at the end
        ]


def _record_of(line: str, place: str) -> dict:
    """Reads a line of the history.

    Raises:
        InputError: The line is no object of an epoch, nor of a way back.
    """
    try:
        record = dict(json.loads(line))
        if "rollback" in record:
            return record
        numbers = [record[name] for name in ("epoch", "step", "stage", "loss")]
        if record["validation_loss"] is not None:
            numbers.append(record["validation_loss"])
        for number in numbers:  # those of the curve
            if type(number) not in (int, float):
                raise TypeError(f"a number. Received: {number!r}")
        int(record["epoch"])
        return record
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{place}: must be an epoch in JSON; mend or remove it. Received: "
            f"{line.strip()[:60]}"
        ) from error
