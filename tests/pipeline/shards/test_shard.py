import pickle
import shutil

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.shards.reader import video_arrays
from pipeline.shards.shard import check_shard, read_record, write_shard


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Return a video of 37 frames in shards of 16, and the array that it was made from."""
    folder = tmp_path_factory.mktemp("video")
    image = np.random.default_rng(0).integers(0, 256, (37, 5, 7, 3)).astype(np.uint8)
    for number, start in enumerate(range(0, 37, 16)):
        write_shard(folder / f"{number:05d}.h5", {"image": image[start : start + 16]}, {})
    return video_arrays(folder, {"image": {"dtype": "uint8", "shape": [5, 7, 3]}}, 37, 16), image


@settings(max_examples=200, deadline=None)
@given(a=st.integers(-40, 40), b=st.integers(-40, 40))
def test_any_slice_equals_the_slice_in_memory(video, a, b):
    arrays, image = video
    np.testing.assert_array_equal(arrays["image"][a:b], image[a:b])


def test_frames_one_by_one_and_after_pickling(video):
    arrays, image = video
    again = pickle.loads(pickle.dumps(arrays))
    assert again["image"].shape == image.shape
    np.testing.assert_array_equal([again["image"][i] for i in range(37)], image)
    np.testing.assert_array_equal(again["image"][-1], image[-1])
    with pytest.raises(IndexError):
        again["image"][37]
    with pytest.raises(IndexError):
        again["image"][0:10:2]


@pytest.mark.parametrize("compression", ["auto", "none", "lzf", "gzip"])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "int64"])
def test_round_trip_is_exact(tmp_path, compression, dtype):
    array = np.random.default_rng(1).normal(0, 50, (6, 40, 40)).astype(dtype)
    write_shard(tmp_path / "00000.h5", {"a": array}, {"key": "k"}, compression)
    arrays = video_arrays(tmp_path, {"a": {"dtype": dtype, "shape": [40, 40]}}, 6, 6)
    np.testing.assert_array_equal(arrays["a"][0:6], array)
    assert check_shard(tmp_path / "00000.h5")["key"] == "k"


def test_same_arrays_give_the_same_bytes(tmp_path):
    array = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    for name in ("a", "b"):
        write_shard(tmp_path / name / "00000.h5", {"x": array}, {})
    first, second = ((tmp_path / name / "00000.h5").read_bytes() for name in ("a", "b"))
    assert first == second


def test_auto_shrinks_masks_and_leaves_images_and_flow_alone(tmp_path):
    mask = np.zeros((20, 64, 64), np.uint8)
    mask[:, 10:30, 10:20] = 1
    arrays = {"mask": mask, "image": np.zeros((20, 64, 64, 3), np.uint8)}
    write_shard(tmp_path / "00000.h5", arrays, {})
    with h5py.File(tmp_path / "00000.h5") as file:
        assert file["mask"].compression == "gzip"
        assert file["mask"].id.get_storage_size() < mask.nbytes / 50
        assert file["image"].compression is None
        assert (file["mask"][:] == mask).all()


def test_an_unknown_compression_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="zip9"):
        write_shard(tmp_path / "00000.h5", {"x": np.zeros(3)}, {}, "zip9")


def test_every_flipped_bit_is_found(tmp_path):
    path = tmp_path / "00000.h5"
    write_shard(path, {"x": np.arange(64, dtype=np.uint8).reshape(4, 16)}, {})
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for position, bit in zip(rng.integers(0, len(good), 60), rng.integers(0, 8, 60), strict=True):
        bad = bytearray(good)
        bad[position] ^= 1 << bit
        path.write_bytes(bad)
        with pytest.raises(DataError, match=r"00000\.h5"):
            check_shard(path)
    path.write_bytes(good)
    check_shard(path)


def _spoil(path, how):
    record = path.with_suffix(".json")
    if how == "no record":
        record.unlink()
    elif how == "no shard":
        path.unlink()
    elif how == "record is no JSON":
        record.write_text("{")
    elif how == "record is a list":
        record.write_text("[]")
    elif how == "record edited":
        record.write_text(record.read_text().replace('"start": 0', '"start": 1'))
    elif how == "shard cut short":
        path.write_bytes(path.read_bytes()[:-10])
    elif how == "shard is text":
        path.write_text("x" * path.stat().st_size)
    elif how == "another shard's record":
        with h5py.File(path.with_name("b.h5"), "w") as file:
            file["y"] = np.zeros(3)
        write_shard(path.with_name("c.h5"), {"y": np.zeros((4, 2))}, {})
        shutil.copy(path.with_name("c.json"), record)


@pytest.mark.parametrize(
    "how",
    [
        "no record",
        "no shard",
        "record is no JSON",
        "record is a list",
        "record edited",
        "shard cut short",
        "shard is text",
        "another shard's record",
    ],
)
def test_damage_is_an_error_that_names_the_file(tmp_path, how):
    path = tmp_path / "00000.h5"
    write_shard(path, {"x": np.zeros((4, 16), np.uint8)}, {"start": 0})
    read_record(path)
    _spoil(path, how)
    with pytest.raises(DataError, match="00000"):
        check_shard(path)
    arrays = video_arrays(tmp_path, {"x": {"dtype": "uint8", "shape": [16]}}, 4, 4)
    with pytest.raises(DataError, match=r"00000.*verify --repair"):
        arrays["x"][0:4]
