import numpy as np
import pytest

from evaluation.record.scores import (
    VideoScores,
    file_name,
    is_saved,
    open_scores,
    save_index,
    save_video,
)
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import VideoInfo


def info(name="test/01", frames=5, holdout=False):
    return VideoInfo(name, name.split("/")[0], frames, "", True, holdout, None)


def test_round_trip(tmp_path):
    values = {"spatial": np.arange(5.0), "spatial_map": np.ones((5, 2, 3), np.float16)}
    held = info("train/09", holdout=True)
    save_video(tmp_path, "test/01", values, "f1")
    save_video(tmp_path, "train/09", {"spatial": np.ones(5)}, "f1")
    save_index(tmp_path, {"dataset": "x", "settings": {"a": 1}}, [info(), held])
    run = open_scores(tmp_path)
    assert run.provenance == {"format": 1, "dataset": "x", "settings": {"a": 1}}
    assert run.videos == {"test/01": info(), "train/09": held}
    assert set(run.load("test/01").values) == {"spatial"}
    loaded = run.load("test/01", maps=True).values
    for name, array in values.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    assert [one.video for one in run.select(split="test")] == [info()]
    assert [one.video for one in run.select(holdout=True)] == [held]


def test_a_fingerprint_tells_what_must_be_computed_again(tmp_path):
    assert not is_saved(tmp_path, "test/01", "f1")
    save_video(tmp_path, "test/01", {"spatial": np.ones(5)}, "f1")
    assert is_saved(tmp_path, "test/01", "f1")
    assert not is_saved(tmp_path, "test/01", "f2")
    path = tmp_path / file_name("test/01")
    path.write_bytes(path.read_bytes()[:40])
    assert not is_saved(tmp_path, "test/01", "f1")


@pytest.mark.parametrize("name", ["test/../../etc", "test/a'\"<b>\n", "test/" + "x" * 500])
def test_names_stay_inside_the_folder(tmp_path, name):
    save_video(tmp_path / "scores", name, {"spatial": np.ones(5)}, "f1")
    assert is_saved(tmp_path / "scores", name, "f1")
    assert [p.name for p in tmp_path.iterdir()] == ["scores"]


def test_long_names_stay_apart_and_odd_splits_are_refused():
    assert file_name("test/" + "x" * 500) != file_name("test/" + "x" * 499 + "y")
    for name in ("../x", "./x", "/x", "test/", "test"):
        with pytest.raises(DataError, match="needs a split"):
            file_name(name)


def test_pickles_are_refused(tmp_path):
    path = tmp_path / file_name("test/01")
    path.parent.mkdir()
    np.savez(path, spatial=np.array([{"a": 1}], dtype=object))
    save_index(tmp_path, {}, [info()])
    with pytest.raises((DataError, ValueError), match=r"allow_pickle|no archive"):
        open_scores(tmp_path).load("test/01")


def test_wrong_files_are_said(tmp_path):
    with pytest.raises(ConfigurationError, match="python -m evaluation score"):
        open_scores(tmp_path)
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        open_scores(tmp_path)
    (tmp_path / "scores.json").write_text('{"format": 0}')
    with pytest.raises(DataError, match="format 1"):
        open_scores(tmp_path)
    save_index(tmp_path, {}, [info()])
    with pytest.raises(ConfigurationError, match="not found"):
        open_scores(tmp_path).load("test/01")
    (tmp_path / "test").mkdir()
    (tmp_path / file_name("test/01")).write_text("no zip")
    with pytest.raises(DataError, match="no archive"):
        open_scores(tmp_path).load("test/01")


def test_length_must_be_the_videos():
    with pytest.raises(DataError, match="spatial has 4 entries for 5 frames"):
        VideoScores(info(), {"spatial": np.ones(4)})
