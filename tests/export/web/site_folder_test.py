import base64
import hashlib
import json

import pytest

from tests.command_line import run_here
from waveunet_tf.errors import InputError
from waveunet_tf.export.web import libraries, site_folder


def test_every_file_of_a_site_is_listed_with_its_hash(small_site):
    listed = site_folder.read_files(small_site)
    songs = {
        path.name for path in small_site.iterdir() if path.stem in ("song", "0", "1")
    }
    own = {*songs, "bad", "carried", "lab.html"}
    there = {
        path.relative_to(small_site).as_posix()
        for path in small_site.rglob("*")
        if path.is_file() and "lab" not in path.parts
    }
    assert there - own == {*listed, "files.json"}
    for name, about in listed.items():
        content = (small_site / name).read_bytes()
        assert about["bytes"] == len(content)
        assert about["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_service_worker_checks_the_same_hashes(small_site):
    script = (small_site / "service-worker.js").read_text()
    for name, about in site_folder.read_files(small_site).items():
        if name != "service-worker.js":
            digest = base64.b64encode(bytes.fromhex(about["sha256"])).decode()
            assert f'"sha256-{digest}"' in script, name


def test_a_site_carries_the_licence_of_each_library(small_site):
    texts = {path.stem: path.read_text() for path in small_site.glob("licences/*.txt")}
    assert "MIT License" in texts["waveunet-tf"]
    assert "Apache License" in texts["LiteRT.js"]
    assert "Mozilla Public License" in texts["mediabunny"]
    assert "Mozilla Public License" in texts["flac-encoder"]
    assert "Xiph.org Foundation" in texts["libFLAC"]
    pinned = json.loads((libraries.ROOM / "package.json").read_text())["dependencies"]
    told = json.loads((small_site / "files.json").read_text())["libraries"]
    assert told == pinned


def test_our_licence_is_the_projects():
    own = libraries.ROOM / "licences" / "waveunet-tf.txt"
    assert own.read_text() == (libraries.ROOM.parents[1] / "LICENSE").read_text()


def test_a_site_is_replaced_and_other_folders_are_not(small_site, tmp_path):
    site = tmp_path / "site"
    site_folder.require_site_place(site, overwrite=False)
    site.mkdir()
    site_folder.require_site_place(site, overwrite=False)
    for name in ("files.json", "index.html"):
        (site / name).write_bytes((small_site / name).read_bytes())
    with pytest.raises(InputError, match="--overwrite be given"):
        site_folder.require_site_place(site, overwrite=False)
    site_folder.require_site_place(site, overwrite=True)
    (site / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="such as mine.txt"):
        site_folder.require_site_place(site, overwrite=True)
    (site / "files.json").unlink()
    with pytest.raises(InputError, match="export-web` made"):
        site_folder.require_site_place(site, overwrite=True)


def test_a_site_that_fails_leaves_the_old_one(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "files.json").write_text(
        json.dumps({"made_by": "waveunet export-web", "files": {"old": {}}})
    )
    (site / "old").write_text("old")
    with pytest.raises(InputError), site_folder.replaced_folder(site) as part:
        (part / "new").write_text("new")
        raise InputError("no")
    assert {path.name for path in site.iterdir()} == {"files.json", "old"}
    with site_folder.replaced_folder(site) as part:
        (part / "new").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["site", "new"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--kinds=int8"], 2, "--kinds must be of float32, float16, dynamic"),
        (["--model="], 2, "--model must name at least one model"),
        (["--model=nobody"], 1, "nobody: "),
    ],
)
def test_bad_arguments_are_one_line(web_libraries, tmp_path, arguments, code, words):
    site = tmp_path / "site"
    done = run_here("waveunet_tf export-web", f"--output={site}", *arguments)
    assert done.returncode == code
    assert done.stderr.startswith("error: ") and words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_serving_no_site_is_one_line(tmp_path):
    done = run_here("waveunet_tf serve-web", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {tmp_path}: must be a folder that `waveunet export-web` made"
    ]
