import pytest

from examples import demo
from tests.command_line import run
from tests.evaluate.report.report_songs import write_scores
from waveunet_tf.checkpoints import registry
from waveunet_tf.errors import InputError


@pytest.mark.slow
def test_the_demo_shows_two_networks_that_beat_the_mixture(tmp_path, monkeypatch):
    """It exits with 1 if their vocals gain less than MIN_GAINS_DB."""
    monkeypatch.delenv(registry.FOLDER_VARIABLE, raising=False)
    if registry.DEFAULT not in registry.names():
        pytest.skip(f"needs the model {registry.DEFAULT} in the package")
    result = run("examples.demo", f"--output_dir={tmp_path}/demo")
    assert result.returncode == 0, result.stderr
    *_, model, tiny = result.stdout.splitlines()
    assert model.startswith("vocals, model-in-the-box: median SDR ")
    assert tiny.startswith("vocals, tiny-network: median SDR ")
    assert (tmp_path / "demo" / "artefacts" / "tflite_float32.tflite").exists()


def test_without_a_model_the_demo_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(registry, "PACKAGED", tmp_path)
    with pytest.raises(InputError, match="vocals: must be a model's name; .* none"):
        demo.main([])
    assert list(tmp_path.iterdir()) == []


def write_all_scores(output, medians_db):
    for name, median_db in medians_db.items():
        frames = [median_db - 1, median_db, median_db + 7]
        write_scores(output / "scores" / name, "song", {"vocals": frames})


def test_the_last_lines_tell_what_each_network_gains(tmp_path, capsys):
    medians_db = {"mixture": -6, "oracle_irm": 7, demo.MODEL: 1.5, demo.TINY: 4.25}
    write_all_scores(tmp_path, medians_db)
    demo.judge(tmp_path)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "vocals, model-in-the-box: median SDR 1.5 dB, 7.5 dB over the mixture, 5.5 dB "
        "below the ideal mask",
        "vocals, tiny-network: median SDR 4.2 dB, 10.2 dB over the mixture, 2.8 dB "
        "below the ideal mask",
    ]


@pytest.mark.parametrize(("name", "least_db"), demo.MIN_GAINS_DB.items())
def test_a_network_that_separates_too_little_ends_the_demo(tmp_path, name, least_db):
    medians_db = {"mixture": 0, "oracle_irm": 20, demo.MODEL: 10, demo.TINY: 10}
    write_all_scores(tmp_path, {**medians_db, name: least_db - 0.5})
    with pytest.raises(InputError, match=f"{name}: the vocals must gain at least"):
        demo.judge(tmp_path)


def test_the_song_is_one_of_musdb18s_test_songs(tmp_path, shared_data):
    """As the demo says; the model in the box learned from none of them."""
    song = demo.take_song(tmp_path)
    musdb18 = shared_data / "musdb18-7s"
    assert (musdb18 / "test" / song.name).is_file()
    assert not (musdb18 / "train" / song.name).exists()
    assert song.parent.name == "test"


def test_the_demo_touches_no_folder_but_its_own(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="must be a new folder or one of an earlier"):
        demo.new_demo_folder(tmp_path)
    assert (tmp_path / "mine.txt").exists()
    made = demo.new_demo_folder(tmp_path / "demo")
    (made / "old.txt").touch()
    assert not (demo.new_demo_folder(made) / "old.txt").exists()


def test_a_step_that_fails_ends_the_demo_with_one_line(tmp_path):
    with pytest.raises(InputError, match="the command above ended with 1"):
        demo.run_command("describe --checkpoint {}", tmp_path)
