"""The real UCSD Ped2, where it is at hand."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.discover import load_manifest
from tests.pipeline.data.test_manifest import small

PED2 = Path(__file__).parents[3].parent / "shared/data/ped2"


@pytest.mark.skipif(not PED2.is_dir(), reason="UCSD Ped2 is not at hand")
def test_real_ped2_clip(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("unpack", PED2 / "unpack.py")
    assert spec is not None and spec.loader is not None
    unpack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpack)
    root = tmp_path / "UCSDped2"
    few = itertools.islice(unpack.frames(PED2 / "train/01.mp4"), 16)
    unpack.write_images(few, root / "Train/Train001", ".tif")
    unpack.write_images(unpack.frames(PED2 / "test/01.mp4"), root / "Test/Test001", ".tif")
    packed = np.load(PED2 / "pixel_masks.npz")
    shape = packed["01_shape"]
    masks = np.unpackbits(packed["01"])[: np.prod(shape)].reshape(shape)
    unpack.write_images(masks * np.uint8(255), root / "Test/Test001_gt", ".bmp")
    lines = (PED2 / "UCSDped2.m").read_text().splitlines()[:2]
    (root / "Test/UCSDped2.m").write_text("\n".join(lines))
    manifest = load_manifest(small("ped2", tmp_path), tmp_path)
    video = manifest.select("test")[0]
    facts = video.probe()
    assert (facts.frames, facts.width, facts.height, facts.anomalous) == (180, 360, 240, 120)
    truth = video.truth()
    assert np.array_equal(truth.labels, np.load(PED2 / "frame_labels.npy")[:180])
    assert truth.pixels is not None
    assert np.array_equal(truth.pixels.read(range(180)), masks)
    manifest.check_counts(
        {v.name: v.probe().frames for v in manifest.videos}, {video.name: facts.anomalous}
    )


@pytest.mark.skipif(not PED2.is_dir(), reason="UCSD Ped2 is not at hand")
def test_real_ped2_ranges_agree_with_its_labels() -> None:
    from pipeline.data.truth.labels import fill, matlab_ranges

    truth = np.load(PED2 / "frame_labels.npy")
    packed = np.load(PED2 / "pixel_masks.npz")
    lengths = [int(packed[f"{place + 1:02}_shape"][0]) for place in range(12)]
    found = [
        fill(matlab_ranges(PED2 / "UCSDped2.m", 12, place), length, PED2, str(place))
        for place, length in enumerate(lengths)
    ]
    assert np.array_equal(np.concatenate(found), truth)
    assert truth.sum() == 1648
