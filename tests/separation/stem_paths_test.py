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
