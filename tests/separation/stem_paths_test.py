import contextlib
import os
import pathlib
import re

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.separation import stem_paths


def path_of(template, song="/music/A song.stem.mp4", source="vocals", **tags):
    folder = pathlib.Path("/stems")
    stem_paths.check_template(template)
    path = stem_paths.stem_path(
        folder, template, pathlib.Path(song), source, "wav", tags
    )
    return str(path.relative_to(folder))


def test_a_template_makes_the_path():
    assert path_of(stem_paths.DEFAULT_TEMPLATE) == "A song/vocals.wav"
    template = "{artist}/{album}/{title} ({source}).{ext}"
    tags = {"artist": "Björk", "album": "Post", "title": "Hyperballad"}
    assert path_of(template, **tags) == "Björk/Post/Hyperballad (vocals).wav"
    assert path_of(template) == "unknown artist/unknown album/A song (vocals).wav"


@pytest.mark.parametrize(
    "text", ["..", ".", "", " ", "/etc/passwd", "../../x", "a/../../..", "C:\\x", "\0"]
)
@pytest.mark.parametrize(
    "template", ["{artist}/{title}.{ext}", "{source}/{title}.{ext}"]
)
def test_no_tag_or_source_leads_out_of_the_folder(text, template):
    path = path_of(template, source=text or "_", artist=text, title=text)
    parts = pathlib.PurePath(path).parts
    assert len(parts) == 2
    assert not {"", ".", ".."} & set(parts)
    assert not set('\0\\:*?"<>|') & set(path)


def test_a_long_name_is_cut_before_its_suffix():
    path = path_of("{title}.{ext}", title="ü" * 300)
    assert path.endswith("üü.wav")
    assert 190 < len(path.encode()) <= 200
    paths = {
        path_of("{artist} {title}-{source}.{ext}", title="x" * 999, source=source)
        for source in ("a", "b")
    }
    assert len(paths) == 2  # what tells the stems apart is not cut


def test_a_long_folder_cuts_no_song_short():
    """It is there, and so its name fits."""
    folder, songs = "あ" * 80, ("A song, part one", "A song, part two")
    for song in (*songs, "ü" * 120):
        path = stem_paths.stem_path(
            *(pathlib.Path("/stems"), "{folder}/{track}/{source}.{ext}"),
            *(pathlib.Path("/music", folder, f"{song}.mp3"), "vocals", "wav", {}),
            folder=pathlib.PurePath("Albums", folder),
        )
        assert path.parts[2:4] == ("Albums", folder)
        assert path.parts[4] == song[:100]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "end in .{ext}"),
        ("{track}", "end in .{ext}"),
        ("{track}.wav", "end in .{ext}"),
        ("/tmp/{track}.{ext}", "below the output folder"),
        ("../{track}.{ext}", "below the output folder"),
        ("a/../../{track}.{ext}", "below the output folder"),
        ("{nothing}.wav", "no fields but track, source"),
        ("{track.__class__}.wav", "no fields but"),
        ("{track!r}.wav", "plain in braces"),
        ("{track:9}.wav", "plain in braces"),
        ("{}.wav", "no fields but"),
        ("{track.wav", "must be a template"),
    ],
)
def test_a_template_that_makes_no_path_is_refused(template, message):
    with pytest.raises(InputError, match=re.escape(message)):
        stem_paths.check_template(template)


def make(output, template, song="/music/a.wav", *, folder=".", **tags):
    stem_paths.check_template(template)
    song = pathlib.Path(song)
    return stem_paths.stem_path(
        output, template, song, "vocals", "wav", tags, folder=folder
    )


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        (".{folder}/{source}.{ext}", {}),  # the folder of a song named alone is "."
        ("{folder}{folder}/{source}.{ext}", {}),
        ("a/{folder}./../{source}.{ext}", None),
        ("{folder}/{source}.{ext}", {"folder": ".."}),
        ("{folder}/{source}.{ext}", {"folder": "a/../../b"}),
        ("{folder}/{source}.{ext}", {"folder": pathlib.PurePath("/etc")}),
        ("{folder}/{source}.{ext}", {"folder": "a\0b"}),
        ("\0{track}.{ext}", None),
    ],
)
def test_no_template_and_folder_lead_out_together(template, fields, tmp_path):
    with pytest.raises(InputError, match="below the output folder") as refusal:
        make(tmp_path / "out", template, **(fields or {}))
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("dots", [".", ".."])
def test_a_song_or_tag_of_dots_leads_nowhere_else(dots, tmp_path):
    output = tmp_path / "out"
    for template in ("{track}/x.{ext}", ".{track}/x.{ext}", ".{title}/x.{ext}"):
        with contextlib.suppress(InputError):
            path = make(output, template, f"/music/{dots}.wav", title=dots)
            assert output in pathlib.Path(os.path.normpath(path)).parents


def test_links_that_lead_out_of_the_output_folder_are_refused(tmp_path):
    output = tmp_path / "out"
    (output / "own").mkdir(parents=True)
    (tmp_path / "else").mkdir()
    (output / "a").symlink_to(tmp_path / "else")
    (output / "b").symlink_to(output / "own")
    (tmp_path / "link").symlink_to(output)
    with pytest.raises(InputError, match=f"^{output}/a/vocals.wav: .* {tmp_path}/else"):
        make(output, stem_paths.DEFAULT_TEMPLATE)
    with pytest.raises(InputError, match="links lead to"):
        make(output, "{track}/{artist}/{source}.{ext}", artist="new")
    inside = make(output, stem_paths.DEFAULT_TEMPLATE, "b.wav")
    assert inside == output / "b" / "vocals.wav"
    linked = make(tmp_path / "link", "own/{track}.{ext}")  # the user's own choice
    assert linked == tmp_path / "link" / "own" / "a.wav"


def test_windows_drives_and_devices_are_no_names(tmp_path):
    assert stem_paths.leads_away(pathlib.PureWindowsPath("C:stems/a.wav"))
    assert stem_paths.leads_away(pathlib.PureWindowsPath(r"\a.wav"))
    assert stem_paths.leads_away(pathlib.PureWindowsPath(r"a\..\..\b.wav"))
    assert not stem_paths.leads_away(pathlib.PureWindowsPath(r"a\b.wav"))
    names = {"CON": "_CON", "nul": "_nul", "Com1": "_Com1", "Console": "Console"}
    for name, expected in names.items():
        path = make(tmp_path, "{artist}/{title}.{ext}", artist=name, title=name)
        assert path == tmp_path / expected / f"{expected}.wav"
