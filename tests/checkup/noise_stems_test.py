import soundfile

from waveunet_tf.checkup.noise_stems import write_noise_stems
from waveunet_tf.data import prepared


def test_the_stems_are_a_prepared_folder_of_16_bits(tmp_path, mini_sizes):
    write_noise_stems(tmp_path, mini_sizes.small, seconds=0.5)
    tracks = prepared.load_prepared(tmp_path, mini_sizes.small, "train")
    assert len(tracks) == 4
    assert {track.frames for track in tracks} == {4000}
    assert not prepared.has_subset(tmp_path, "valid")
    assert soundfile.info(tracks[0].paths[0]).subtype == "PCM_16"
