"""The documents' commands, code and links are right, and run where they can."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import soundfile

from tests import documents
from tests.architecture import House
from tests.command_line import run_here, run_python
from waveunet_tf.__main__ import COMMANDS
from waveunet_tf.commands import app

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_LINKS = [
    *PAGES,
    ROOT / "WORKSPACE.md",
    ROOT / "CHANGELOG.md",
    ROOT / "export/android/README.md",
    ROOT / "waveunet_tf/pretrained/vocals-small/README.md",
]
LANGUAGES = {"bash", "python", "text", "toml", "yaml"}
LANGUAGES |= {"kotlin", "javascript", "nginx"}
# What a script may call beside our own commands, and nothing checks here.
OTHERS = {"cat", "cd", "cp", "curl", "docker", "export", "ffmpeg", "for", "mkdir"}
OTHERS |= {
    "printf",
    "python3",
    "done",
    "scontrol",
    "base64",
    "kubectl",
    "srun",
    "split",
    "trap",
    "test",
    "exit",
    "sed",
}
PARTS = [["python", "-c"], ["pip", "wheel"]]
# Flags of other programs, and of all commands, that the prose names.
FOREIGN_FLAGS = {"help", "ssl_config_file", "enable_batching", "logdir"}


def text_of(page):
    return page.read_text(encoding="utf-8")


@pytest.fixture
def refusal(monkeypatch):
    """What is wrong with a command's words: its error, or nothing.

    The command reads its flags as always, but does nothing then.
    """
    run = app.run
    monkeypatch.setattr(app, "run", lambda main, **options: run(_nothing, **options))

    def refuse(words):
        if words[0] == "waveunet":
            result = run_here("waveunet_tf", *words[1:])
        elif words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word]
            result = subprocess.run(
                ["make", "-n", "-o", ".venv/installed", *targets],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        elif words[:2] == ["pip", "install"]:
            return _missing_extras(words[2:])
        elif "dask" in words[:2]:  # or by srun
            return documents.refusal_of_dask(words[words.index("dask") :])
        elif words[0] == "pytest":
            return "" if (ROOT / words[-1]).is_file() else f"no {words[-1]}"
        elif words[:2] == ["python", "-m"]:
            result = run_here(*words[2:])
        elif words[0] == "python" and words[1].endswith(".py"):
            result = run_here(words[1][: -len(".py")].replace("/", "."), *words[2:])
        else:
            known = words[0] in OTHERS or words[:2] in PARTS
            return "" if known else f"no known command: {words[0]}"
        return result.stderr if result.returncode else ""

    return refuse


def _nothing(_):
    return 0


def _missing_extras(words):
    """What pyproject.toml lacks of the extras that `pip install` is asked for."""
    asked = re.findall(r"\.\[([\w,]+)\]", " ".join(words))
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _, _, extras = metadata.partition("[project.optional-dependencies]")
    known = set(re.findall(r"^(\w+) = \[", extras.partition("\n[")[0], re.MULTILINE))
    return " ".join(sorted({*",".join(asked).split(",")} - known - {""}))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_has_right_flags(page, refusal):
    wrong = []
    for block in documents.blocks(text_of(page)):
        if block.language == "bash":
            for words in documents.commands(block.text):
                error = refusal(words)
                wrong += [f"line {block.line}: {words}: {error}"] if error else []
    assert wrong == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_a_command_itself_have_right_flags(command, refusal):
    spec = importlib.util.find_spec(f"waveunet_tf.{COMMANDS[command]}")
    module = ast.parse(pathlib.Path(spec.origin).read_text(encoding="utf-8"))
    docstring = ast.get_docstring(module)
    examples = re.findall(r"^ {4}(waveunet .*(?:\n {8}.*)*)", docstring, re.MULTILINE)
    assert examples
    for example in examples:
        if "…" not in example:  # stands for other flags
            for words in documents.commands(example):
                assert refusal(words) == ""


@pytest.mark.parametrize(
    "command",
    [
        "waveunet separate --no_such_flag song.mp3",
        "waveunet separate --format midi song.mp3",
        "waveunet describe-file",
        "waveunet train --variant M4 --workdir m4",
        "waveunet seperate song.mp3",
        "make no-such-target",
        "pip install '.[nothing]'",
        "python -m benchmarks.no_such_script",
        "python -m benchmarks.train_step --no_such_flag 1",
        "pytest tests/no_such_test.py",
        "rm -rf /",
        pytest.param(
            "srun dask worker tcp://host:8786 --no_such_flag",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("distributed") is None,
                reason="needs requirements-dask.txt",
            ),
        ),
    ],
)
def test_a_wrong_command_is_seen(command, refusal):
    (words,) = documents.commands(command)
    assert refusal(words)


def test_commands_are_found_in_a_script():
    script = (
        "#!/bin/bash\n#SBATCH --nodes=2\n# a comment\n"
        "for x in a b; do\n    cp $x \\\n        'to #there'\ndone   # so\n"
        "cat a | waveunet separate - > b && (cd c; X=1 make d)\n"
        "export A='1\n2'\nwaveunet stand-in &\n"
    )
    assert documents.commands(script) == [
        ["for", "x", "in", "a", "b"],
        ["cp", "$x", "to #there"],
        ["done"],
        ["cat", "a"],
        ["waveunet", "separate", "-"],
        ["cd", "c"],
        ["make", "d"],
        ["export", "A=1\n2"],
        ["waveunet", "stand-in"],
    ]


def test_the_script_for_slurm_names_all_workers(tmp_path):
    """Without Slurm: what it would say stands in a program of that name."""
    blocks = documents.blocks(text_of(ROOT / "docs/scale.md"))
    (script,) = [block.text for block in blocks if "SLURM_PROCID" in block.text]
    names = {
        "scontrol": 'test "$*" = "show hostnames n[1-2]" && printf "n1\\nn2\\n"',
        "waveunet": 'printf %s "$TF_CONFIG"',
        "python": f'exec {sys.executable} "$@"',
    }
    for name, text in names.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_JOB_ID": "1234567",
        "SLURM_PROCID": "1",
    }
    result = subprocess.run(
        ["bash", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == {
        "cluster": {"worker": ["n1:24567", "n2:24567"]},
        "task": {"type": "worker", "index": 1},
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_stands_in_fences_that_name_its_language(page):
    text = text_of(page)
    assert {block.language for block in documents.blocks(text)} <= LANGUAGES
    assert re.findall(r"\n\n {4}.*", documents.prose(text)) == []
    assert text.count("<!-- not run: ") == sum(
        bool(block.not_run) for block in documents.blocks(text)
    )


@pytest.fixture(scope="module")
def flag_names():
    """The flags of all commands; a negative form counts, too."""
    names = set(FOREIGN_FLAGS)
    for command in COMMANDS:
        shown = run_here("waveunet_tf", command, "--help").stdout
        for negative, name in re.findall(r"--(\[no\])?(\w+):", shown):
            names |= {name, f"no{name}"} if negative else {name}
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_that_the_prose_names_exist(page, flag_names):
    assert {*documents.inline_flags(text_of(page))} - flag_names == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_import_modules_that_exist(page):
    for block in documents.blocks(text_of(page)):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                names = [alias.name for alias in getattr(node, "names", [])]
                names = [node.module] if isinstance(node, ast.ImportFrom) else names
                for name in names:
                    assert importlib.util.find_spec(name), name


@pytest.mark.parametrize("page", WITH_LINKS, ids=lambda page: page.as_posix())
def test_every_relative_link_leads_somewhere(page):
    assert documents.broken_links(page) == []


def test_a_broken_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two\n[a](#one-two) [b](#three) [c](none.md) ![d](page.md#one-two)\n"
        "[e](page.md#four) [f](https://example.org/none)\n```text\n[g](none)\n```\n"
    )
    assert documents.broken_links(page) == ["#three", "none.md", "page.md#four"]


def test_every_page_is_named_in_the_map():
    links = text_of(ROOT / "WORKSPACE.md")
    assert [page.name for page in PAGES if f"{page.name})" not in links] == []


def test_the_readme_is_short():
    assert len(text_of(ROOT / "README.md").split()) < 900


@pytest.mark.slow
def test_the_reference_has_a_page_for_each_module_but_commands(tmp_path):
    result = run_python("docs/reference.py", tmp_path)
    assert result.returncode == 0, result.stderr
    pages = {
        path.relative_to(tmp_path).with_suffix("").as_posix().replace("/", ".")
        for path in tmp_path.rglob("*.html")
    }
    modules = {
        name.removesuffix(".__init__")
        for name in House(ROOT).modules
        if name.startswith("waveunet_tf")
        and not re.search(r"\.(commands|__main__|run_\w+|\w+_flags|android)\b", name)
    }
    assert pages - {"index"} == modules
    separator = tmp_path / "waveunet_tf" / "separation" / "separator.html"
    assert ">Arguments:</h6>" in separator.read_text(encoding="utf-8")


# From here on: the commands at work, with these flags added.
TINY = {
    "train": "--num_levels 5 --base_filters 4 --output_frames 2048 --batch_size 2 "
    "--fine_tuning_batch_size 2 --steps_per_epoch 2 --max_epochs 1 --nofine_tuning",
}
SHIMS = {
    "python": f'exec {sys.executable} "$@"\n',
    "waveunet": 'case "$1" in\n'
    + "".join(f'{name}) set -- "$@" {words} ;;\n' for name, words in TINY.items())
    # The original's checkpoints lie beside the checkout, or do not.
    + "import) ls ~/checkpoints > /dev/null 2>&1 || exit 0 ;;\nesac\n"
    + f'exec {sys.executable} -m waveunet_tf "$@"\n',
    # The packages are here, and make's targets have tests of their own.
    "pip": "",
    "make": "",
}


@pytest.fixture(scope="module")
def kept_home(tmp_path_factory, tiny_config):
    """What the documents' user has: songs, stems, MUSDB18, a checkpoint."""
    import dataclasses

    import keras

    import waveunet_tf
    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.networks.build import build_network

    home = tmp_path_factory.mktemp("documents") / "home"
    bin_dir = home / "bin"
    bin_dir.mkdir(parents=True)
    for name, text in SHIMS.items():
        (bin_dir / name).write_text(f"#!/bin/sh\n{text}")
        (bin_dir / name).chmod(0o755)

    stempeg = pathlib.Path(importlib.util.find_spec("stempeg").origin).parent
    (stem_file,) = stempeg.glob("data/*.stem.mp4")
    track = stem_file.name[: -len(".stem.mp4")]
    for subset in ("train", "test"):
        (home / "musdb18" / subset).mkdir(parents=True)
        shutil.copy(stem_file, home / "musdb18" / subset)

    separator = waveunet_tf.load("vocals", engine="litert")
    theirs = home / "their-stems" / track
    theirs.mkdir(parents=True)
    stems = {name: theirs / f"{name}.wav" for name in separator.config.sources}
    separator.separate_file(stem_file, stems)
    song, rate_hz = soundfile.read(stems["accompaniment"])
    for name in ("song.wav", "song.mp3", "album/one.mp3", "songs/two.mp3"):
        (home / name).parent.mkdir(exist_ok=True)
        soundfile.write(home / name, song[: 3 * rate_hz], rate_hz)
    for name in ("train/First Song", "train/Second Song", "valid/Other Song"):
        folder = home / "my-stems" / name
        folder.mkdir(parents=True)
        for source, path in stems.items():
            source = {"accompaniment": "drums"}.get(source, source)
            shutil.copy(path, folder / f"{source}.wav")

    reference = ROOT.parent / "shared/data/waveunet-reference"
    for index in reference.glob("M4/*.index"):
        (home / "checkpoints").mkdir()
        for path in index.parent.glob(f"{index.stem}.*"):
            suffix = path.name.removeprefix(index.stem)
            shutil.copy(path, home / "checkpoints" / f"baseline_stereo-186093{suffix}")

    config = dataclasses.replace(
        tiny_config, num_levels=5, channels=2, sample_rate_hz=22050, output_frames=2048
    )
    keras.utils.set_random_seed(1)
    checkpoint.save_checkpoint(home / "m4" / "best", build_network(config), config)
    return home


@pytest.fixture
def home(kept_home, tmp_path):
    """A copy of that home, which the commands may change."""
    return pathlib.Path(shutil.copytree(kept_home, tmp_path / "home"))


def script_of(page):
    """A page's shell and Python blocks as one script, in their order."""
    lines = ["set -eu", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for block in documents.blocks(text_of(page)):
        if block.not_run or block.language not in ("bash", "python"):
            continue
        lines.append(f"echo '--- {page.name}, line {block.line}' >&2")
        if block.language == "python":
            lines += ["python - <<'END'", block.text + "END"]
        else:
            lines.append(block.text)
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_in_their_order(page, home):
    script = script_of(page)
    if "---" not in script:
        pytest.skip("nothing to run on this page")
    if page.name in ("README.md", "train.md"):  # which make it
        shutil.rmtree(home / "m4")
    if page.name not in ("data.md", "README.md"):
        prepare = "waveunet prepare --dataset musdb18 --sample_rate_hz 22050 "
        script = f"{prepare} --source ~/musdb18 --output ~/prepared\n{script}"
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=home,
        env=os.environ
        | {"HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert result.returncode == 0, result.stderr[-3000:]
