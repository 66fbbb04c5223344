"""Runs the targets for some minutes, each in a child that is started again if it dies.

python -m tests.fuzz.runner [--minutes=5] [--findings=FOLDER] [TARGET …]
python -m tests.fuzz.runner --repeat=FOLDER TARGET
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import importlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from tests.fuzz import guard
from tests.fuzz.child import FOUND

TARGETS = ["audio_files", "checkpoints", "records", "tflite_files", "java_core"]
TARGETS += ["serving_answers", "command_lines"]
_START_SECONDS = 120
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "WAVEUNET_TF_MODELS": "no-models",
}
# Folders that commands write beside their output, as their users want it.
_KEPT = ("FUZZ_KEPT", "WAVEUNET_TF_CACHE", "MPLCONFIGDIR")


@dataclasses.dataclass
class Outcome:
    """What came of a target.

    Attributes:
        name: The target.
        skipped: Why it was not run, or empty.
        tries: How many cases were tried.
        refusals: How many of them were refused in a line.
        seconds: How long it ran, with the starts of its children.
        findings: Fault → how often it was seen.
    """

    name: str
    skipped: str = ""
    tries: int = 0
    refusals: int = 0
    seconds: float = 0.0
    findings: dict = dataclasses.field(default_factory=dict)

    def line(self):
        if self.skipped:
            return f"{self.name:<18}skipped: {self.skipped}"
        rate = self.tries / max(self.seconds, 1e-9)
        return (
            f"{self.name:<18}{self.tries:>9} executions{rate:>9.1f}/s"
            f"{self.refusals:>9} refused{len(self.findings):>4} findings"
        )


def fuzz(name, seconds, findings, seed):
    """Runs a target for some seconds.

    Args:
        name: The target.
        seconds: How long.
        findings: The folder for inputs that break the property.
        seed: Chooses the inputs.
    """
    outcome, began = Outcome(name, _reason_to_skip(name)), time.time()
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=shared) as text:
        folder = pathlib.Path(text)
        (folder / "kept").mkdir()
        while not outcome.skipped and time.time() < began + seconds:
            (folder / "known.json").write_text(json.dumps(outcome.findings))
            tries, fault = _run_child(name, folder, began + seconds, seed)
            outcome.findings = json.loads((folder / "known.json").read_text())
            status = _status(folder)
            outcome.tries += status["tries"]
            outcome.refusals += status["refusals"]
            outcome.findings = status["known"]
            if fault:
                count = outcome.findings.get(fault, 0) + 1
                outcome.findings[fault] = count
                if count == 1:
                    _report(name, folder / "found", findings, fault)
            if fault and not tries:
                break  # it does not even start
            seed += 1
    outcome.seconds = time.time() - began
    return outcome


def _reason_to_skip(name):
    target = importlib.util.find_spec(f"tests.fuzz.{name}")
    if "def reason_to_skip" in pathlib.Path(target.origin).read_text():
        return importlib.import_module(f"tests.fuzz.{name}").reason_to_skip()
    return ""


def _status(folder):
    return json.loads((folder / "status.json").read_text())


def _run_child(name, folder, end, seed):
    """Runs one child to its end; returns its tries and its fault, or None."""
    for old in ("found", "place"):
        shutil.rmtree(folder / old, ignore_errors=True)
    status = {"tries": 0, "refusals": 0, "since": 0, "base": 0}
    status["known"] = json.loads((folder / "known.json").read_text())
    (folder / "status.json").write_text(json.dumps(status))
    kept = dict.fromkeys(_KEPT, str(folder / "kept"))
    words = [sys.executable, "-m", "tests.fuzz.child", name, folder, end, seed]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            list(map(str, words)),
            cwd=guard.ROOT,
            env={**os.environ, **_ENVIRONMENT, **kept},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            fault = _watch(child, folder, end)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    log = (folder / "log").read_text(errors="replace")
    if fault is None and child.returncode == FOUND:
        fault = (folder / "found" / "fault").read_text()
    elif fault is None and child.returncode:
        fault = _name_of_death(child.returncode, log)
    if fault and not (folder / "found").exists():
        shutil.copytree(folder / "place" / "inputs", folder / "found" / "inputs")
        (folder / "found" / "traceback").write_text(log[-20000:])
    return _status(folder)["tries"], fault


def _watch(child, folder, end):
    """Waits for a child; returns the fault for which it must be killed, or None."""
    began = time.time()
    while child.poll() is None:
        time.sleep(0.2)
        status, now = _status(folder), time.time()
        if status["since"] and now - status["since"] > guard.MAX_SECONDS:
            os.kill(child.pid, signal.SIGABRT)  # so that it says where it is
            time.sleep(1)
            return f"hang-over-{guard.MAX_SECONDS}-s"
        if not status["tries"] and now - began > _START_SECONDS:
            return "does-not-start"
        if (
            status["base"]
            and guard.memory(child.pid) > status["base"] + guard.MAX_BYTES
        ):
            return "memory-over-1-GiB"
        if not status["since"] and now > end + guard.MAX_SECONDS:
            return None
    return None


def _name_of_death(code, log):
    """Names a death by its signal and where Python was."""
    name = signal.Signals(-code).name if code < 0 else f"exit-{code}"
    frames = re.findall(r'File ".*/(\w+)\.py", line \d+ in (\w+)', log)
    ours = [f"{stem}.{function}" for stem, function in frames[:2]]
    return "-".join([name, *ours])


def _report(name, found, findings, fault):
    """Keeps a finding's input, and says how to repeat it."""
    safe = re.sub(r"[^\w.-]", "_", fault)[:100]
    target = pathlib.Path(findings) / f"{name}-{safe}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(found, target)
    command = (
        f"{sys.executable} -m tests.fuzz.runner --repeat={target.resolve()} {name}"
    )
    (target / "command").write_text(command + "\n")
    print(f"FOUND {name}: {fault}\n  {command}", flush=True)


def repeat(name, folder):
    """Tries the input of a finding once, in this process."""
    inputs = pathlib.Path(folder) / "inputs"
    case = {
        str(path.relative_to(inputs)): path.read_bytes()
        for path in sorted(inputs.rglob("*"))
        if path.is_file()
    }
    os.environ.update(_ENVIRONMENT)
    target = importlib.import_module(f"tests.fuzz.{name}")
    with tempfile.TemporaryDirectory() as place:
        try:
            refused = guard.Place(place).try_case(case, target.check)
        except Exception:
            traceback.print_exc()
            return 1
    print("refused in one line" if refused else "a result that holds")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--findings", default="fuzz-findings")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--repeat")
    arguments = parser.parse_args()
    names = arguments.targets
    if arguments.repeat:
        return repeat(names[0], arguments.repeat)
    if not importlib.util.find_spec("atheris"):
        print("atheris has no wheel here: hypothesis alone, without coverage")
    print(f"seed {arguments.seed}", flush=True)
    jobs = min(arguments.jobs, len(names))
    run = functools.partial(
        fuzz,
        seconds=60 * arguments.minutes * jobs / len(names),
        findings=arguments.findings,
        seed=arguments.seed,
    )
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        outcomes = list(pool.map(run, names))
    for outcome in outcomes:
        print(outcome.line())
    if any(outcome.findings for outcome in outcomes):
        print(f"inputs and commands that repeat them: {arguments.findings}/")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
