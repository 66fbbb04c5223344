"""The player's files."""

import pathlib

from waveunet_tf.evaluate.player import player_files


def test_all_files_of_the_player_are_copied(tmp_path):
    player_files.copy_player(tmp_path)
    web = pathlib.Path(player_files.__file__).parent / "web"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in web.iterdir())
    for name in names:
        assert (tmp_path / name).read_bytes() == (web / name).read_bytes()
