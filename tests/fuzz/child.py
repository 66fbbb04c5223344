"""Tries a target's cases in one process: TARGET FOLDER END SEED.

hypothesis makes the cases and minimizes those that break the property. Where atheris is
installed, it feeds hypothesis, by the coverage of the project's code.
"""

import contextlib
import faulthandler
import importlib
import importlib.util
import json
import os
import pathlib
import random
import shutil
import sys
import time
import traceback

import hypothesis
from hypothesis.database import InMemoryExampleDatabase

from tests.fuzz import guard

FOUND = 3  # the exit code after a finding that is noted
_MINIMIZE_SECONDS = 20
_INPUT_BYTES = 2**14  # from which hypothesis draws
_INSTRUMENTED = ["waveunet_tf", "ai_edge_litert.schema_py_generated"]
_WITH_ATHERIS = importlib.util.find_spec("atheris") is not None


class Child:
    """Tries cases, and tells its parent in `status.json` how far it is.

    `known.json` holds the faults that are found already; a new one goes to `found/`.
    """

    def __init__(self, name, folder, end):
        self._folder, self._end = pathlib.Path(folder), end
        self._target = importlib.import_module(f"tests.fuzz.{name}")
        getattr(self._target, "seeds", list)()  # not while hypothesis draws
        self._cases = self._target.cases()
        self._place = guard.Place(self._folder / "place")
        self._known = json.loads((self._folder / "known.json").read_text())
        self._tries = self._refusals = 0
        self._fault, self._bytes = None, 0
        self._base = guard.memory()

    def _note(self, since):
        status = {"tries": self._tries, "refusals": self._refusals, "since": since}
        status.update(base=self._base, known=self._known)
        (self._folder / "part").write_text(json.dumps(status))
        (self._folder / "part").replace(self._folder / "status.json")

    def _leave(self):
        self._note(0)
        os._exit(FOUND if self._fault else 0)

    def try_case(self, case):
        """The property; raises a fault that is not known."""
        if time.time() > self._end:
            self._leave()
        self._tries += 1
        self._note(time.time())
        try:
            self._refusals += self._place.try_case(case, self._target.check)
        except Exception as error:
            fault = guard.signature(error)
            if fault in self._known:
                self._known[fault] += 1
                return
            self._keep(case, fault)
            raise

    def _keep(self, case, fault):
        """Keeps the smallest case of the first fault."""
        size = sum(map(len, case.values()))
        if self._fault and (self._fault != fault or size >= self._bytes):
            return
        if not self._fault:
            self._end = time.time() + _MINIMIZE_SECONDS
        self._fault, self._bytes = fault, size
        shutil.rmtree(self._folder / "found", ignore_errors=True)
        for name, content in case.items():
            path = self._folder / "found" / "inputs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (self._folder / "found" / "fault").write_text(fault)
        (self._folder / "found" / "traceback").write_text(traceback.format_exc())

    def run(self, seed):
        """Tries cases until the end, or until the first fault is minimized."""
        database = InMemoryExampleDatabase()

        def property_holds(case):
            self.try_case(case)

        def test(*phases):
            settings = hypothesis.settings(
                max_examples=10**9,
                phases=phases,
                database=database,
                deadline=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            return hypothesis.seed(seed)(
                settings(hypothesis.given(self._cases)(property_holds))
            )

        phase = hypothesis.Phase
        if _WITH_ATHERIS:
            fuzz_one_input = test(phase.generate).hypothesis.fuzz_one_input

            def try_one_input(content):
                try:
                    fuzz_one_input(content)
                except Exception:  # is now in the database
                    with contextlib.suppress(Exception):
                        test(phase.reuse, phase.shrink)()
                    self._leave()

            self._feed(try_one_input, seed)
        with contextlib.suppress(Exception):
            test(phase.generate, phase.shrink)()
        self._leave()

    def _feed(self, try_one_input, seed):
        """Lets atheris make inputs; does not return."""
        import atheris

        corpus = self._folder / "corpus"
        if not corpus.exists():
            corpus.mkdir()
            for number in range(50):
                content = random.Random(number).randbytes(_INPUT_BYTES // 8)
                (corpus / str(number)).write_bytes(content)
        signals = ("segv", "bus", "abrt", "ill", "fpe", "int", "term")
        options = [f"-handle_{name}=0" for name in signals]  # the parent sees them
        options += ["-rss_limit_mb=0", "-timeout=100000", "-len_control=0"]
        options += [f"-artifact_prefix={self._folder}/", "-report_slow_units=100000"]
        options += [f"-max_len={_INPUT_BYTES}", f"-seed={seed % 2**31}", str(corpus)]
        atheris.Setup(["fuzz", *options], try_one_input)
        atheris.Fuzz()


def main(name, folder, end, seed):
    faulthandler.enable()
    if not _WITH_ATHERIS:
        return Child(name, folder, float(end)).run(int(seed))
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        Child(name, folder, float(end)).run(int(seed))


if __name__ == "__main__":
    main(*sys.argv[1:])
