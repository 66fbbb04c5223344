"""Survives: trainings that are killed, stopped, too large or lost."""

from __future__ import annotations

import contextlib
import json
import pathlib
import resource
import signal
import time

from waveunet_tf.checkup import children
from waveunet_tf.checkup.differences import farthest_loss
from waveunet_tf.checkup.findings import LEFT_OUT, Findings
from waveunet_tf.configs.networks import WaveUNetConfig

_STEPS = 8
# Address space of a training that asks for far more; TensorFlow takes some of it.
_LIMIT_BYTES = 48 * 2**30
# Without and with the card's own order of sums, which differs from run to run.
_BOUNDS = {"cpu": 1e-5, "gpu": 1e-2}


class NoTime(Exception):
    """The time of the check is up."""


class Endurance:
    """Runs `waveunet train` on stems of noise, and disturbs it."""

    def __init__(
        self,
        findings: Findings,
        config: WaveUNetConfig,
        *,
        device: str,
        data_dir: pathlib.Path,
        folder: pathlib.Path,
        environment: dict[str, str],
        seconds: float,
    ):
        """Takes what the trainings have in common; nothing runs yet.

        Args:
            findings: Takes the findings.
            config: The network, M5's kind.
            device: cpu or gpu, as `--device` has it.
            data_dir: The stems.
            folder: For the trainings' folders.
            environment: That of the trainings.
            seconds: The time for all of them.
        """
        self._findings, self._device = findings, device
        self._data_dir, self._folder = data_dir, folder
        self._environment = environment
        self._until = time.monotonic() + seconds
        self._network = [
            *("--variant=M5", f"--num_levels={config.num_levels}"),
            *(f"--base_filters={config.base_filters}",),
            *(f"--output_frames={config.output_frames}",),
            *(f"--sample_rate_hz={config.sample_rate_hz}",),
        ]

    def check_all(self) -> None:
        """Runs all checks for which there is time."""
        for name, check in (
            ("a training", self._check_whole),
            ("a checkpoint to the CPU and back", self._check_both_devices),
            ("kill -9, Ctrl-C, resume", self._check_stops),
            ("a lost training", self._check_lost),
            ("out of memory", self._check_memory),
        ):
            try:
                check(name)
            except NoTime:
                self._findings.add(name, LEFT_OUT, "the time was up (--seconds)")

    def _words(self, workdir: str, *flags: str, device: str | None = None) -> list[str]:
        return [
            *("waveunet_tf", "train", *self._network, "--batch_size=4"),
            *(f"--device={device or self._device}", "--nofine_tuning"),
            *(f"--steps_per_epoch={_STEPS}", "--max_epochs=2"),
            *(f"--data_dir={self._data_dir}", f"--workdir={self._folder / workdir}"),
            *flags,
        ]

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left < 1:
            raise NoTime
        return left

    def _train(self, workdir: str, *flags: str, **options) -> children.Ended:
        limit = options.pop("limit", None)
        ended = children.run_child(
            self._words(workdir, *flags, **options),
            self._environment,
            self._left(),
            limit,
        )
        if ended.code is None:
            raise NoTime
        return ended

    def _losses(self, workdir: str) -> list[float]:
        path = self._folder / workdir / "history.jsonl"
        if not path.exists():
            return []
        records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return [record["loss"] for record in records if "loss" in record]

    def _check_whole(self, name: str) -> None:
        ended = self._train("whole")
        losses = self._losses("whole")
        self._findings.judge(
            name,
            ended.code == 0 and len(losses) == 2,
            f"exit code {ended.code}, losses {', '.join(f'{x:.4g}' for x in losses)}"
            + (f"; {ended.last_line}" if ended.code else ""),
            "see the line above",
        )

    def _difference(self, workdir: str) -> float:
        """Compares with the training that nobody disturbed."""
        losses, expected = self._losses(workdir), self._losses("whole")
        if not expected or len(losses) != len(expected):
            return float("inf")
        return farthest_loss(losses, expected)

    def _judge_same(self, name: str, workdir: str, what: str, trouble: str) -> None:
        difference, bound = self._difference(workdir), _BOUNDS[self._device]
        text = f"{what}; losses within {difference:.1e} of the undisturbed training's"
        self._findings.judge(
            name,
            not trouble and difference <= bound,
            trouble or f"{text} (bound {bound:.0e})",
            "keep copies of the workdir, and report it with the training's log",
        )

    def _check_both_devices(self, name: str) -> None:
        if self._device == "cpu":
            self._findings.add(name, LEFT_OUT, "there is no GPU to write one")
            return
        trouble = ""
        for epochs, device in ((1, "gpu"), (2, "cpu"), (3, "gpu")):
            ended = self._train("both", f"--max_epochs={epochs}", device=device)
            if ended.code:
                trouble = f"on the {device}: {ended.last_line}"
                break
            if epochs == 2:
                difference = self._difference("both")
        bound = _BOUNDS["gpu"]
        self._findings.judge(
            name,
            not trouble and difference <= bound,
            trouble or f"losses within {difference:.1e} (bound {bound:.0e})",
            "go on on the device on which the training began",
        )

    def _check_stops(self, name: str) -> None:
        state = self._folder / "stopped" / "state"
        # Enough steps that the signals come before the end of an epoch or in it.
        words = self._words("stopped", "--save_seconds=0")

        def last_step() -> int:
            steps = [path.name.partition("-")[0] for path in state.glob("[0-9]*-*")]
            return max(map(int, filter(str.isdigit, steps)), default=0)

        trouble = ""
        for number, after in ((signal.SIGKILL, 2), (signal.SIGINT, _STEPS + 2)):
            with children.started(words, self._environment) as child:
                reached = children.wait_until(
                    child, lambda after=after: last_step() >= after, self._left()
                )
                if not reached:
                    self._left()
                    ended = children.end_of(child, self._left())
                    trouble = f"no step {after}: {ended.last_line}"
                    break
                child.send_signal(number)
                ended = children.end_of(child, self._left())
            if ended.code is None:
                raise NoTime
            # It may have ended by itself before the signal.
            if number == signal.SIGINT and ended.code not in (0, 130):
                trouble = f"Ctrl-C: exit code {ended.code}, {ended.last_line}"
        if not trouble:
            ended = self._train("stopped")
            trouble = f"resume: {ended.last_line}" if ended.code else ""
        self._judge_same(name, "stopped", "resumed twice", trouble)

    def _check_lost(self, name: str) -> None:
        ended = self._train(
            "lost", "--learning_rate=1000", "--steps_per_epoch=100", "--max_epochs=4"
        )
        path = self._folder / "lost" / "history.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        back = text.count('"rollback"')
        self._findings.judge(
            name,
            ended.code == 1 and back == 3 and ended.last_line.startswith("error: "),
            f"went back {back} times, exit code {ended.code}: {ended.last_line[:90]}",
            "do not trust trainings here: one that is lost is not noticed",
        )

    def _check_memory(self, name: str) -> None:
        """Asks for more than there is: on a card a batch, else too many weights."""
        large, limit = ["--base_filters=65536"], _limit_memory
        if self._device == "gpu":
            large = ["--num_levels=2", "--base_filters=512", "--output_frames=65536"]
            large, limit = [*large, "--batch_size=256"], None
        ended = self._train("large", *large, limit=limit)
        errors = [line for line in ended.errors if line.startswith("error: ")]
        good = ended.code == 1 and len(errors) == 1 and "--batch_size" in errors[0]
        self._findings.judge(
            name,
            good,
            errors[0] if good else f"exit code {ended.code}: {ended.last_line[:90]}",
            "take less: a lower --batch_size, fewer --output_frames",
        )


def _limit_memory() -> None:
    """Lets a child fail where it asks for terabytes, before the machine does."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES))
