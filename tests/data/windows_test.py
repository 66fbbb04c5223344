import numpy as np
import soundfile

from waveunet_tf.data import prepared, windows
from waveunet_tf.networks import shapes


def test_validation_windows_cover_every_frame_once(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "valid")
    batches = windows.whole_track_windows(tracks, tiny_config, batch_size=3)
    pieces = []
    for mixture, sources, weights, _ in batches.as_numpy_iterator():
        context = shapes.window_frames(tiny_config).context_frames
        np.testing.assert_allclose(
            sum(sources.values()), mixture[:, context:-context], atol=1e-6
        )
        for piece, weight in zip(sources["vocals"], weights):
            pieces.append(piece[weight[:, 0] == 1])
    expected, _ = soundfile.read(stems_dir / "valid" / "three" / "vocals.wav")
    np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-7)


def test_windows_to_listen_to_are_the_middle_of_each_track(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "valid")
    hop = shapes.window_frames(tiny_config).output_frames
    seconds = 2 * hop / tiny_config.sample_rate_hz
    batches = list(windows.listening_windows(tracks, tiny_config, seconds))
    assert len(batches) == len(tracks)
    for track, (_, sources, weights, numbers) in zip(tracks, batches):
        first = (track.frames - 2 * hop) // 2
        for name, path in zip(tiny_config.sources, track.paths):
            whole, _ = soundfile.read(path)
            found = np.concatenate(list(sources[name]))
            np.testing.assert_allclose(found, whole[first : first + 2 * hop], atol=1e-7)
        assert np.all(weights == 1)
        assert len(set(numbers.numpy())) == 1
