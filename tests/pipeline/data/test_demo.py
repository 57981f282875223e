from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.data.discover import load_manifest
from pipeline.data.plaza.demo import ANOMALIES, DemoSettings, render_scene, write_demo
from pipeline.data.plaza.odd import ODD

SMALL = DemoSettings(train_videos=1, test_videos=2, frames=40, height=64, width=96)


def scene(seed: int, **settings):
    return list(render_scene(seed, **{"frames": 30, "height": 64, "width": 96, **settings}))


def test_same_seed_same_frames_other_seed_others() -> None:
    first, again, other = scene(1), scene(1), scene(2)
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.frame, two.frame)
        assert np.array_equal(one.instances, two.instances)
    assert not np.array_equal(first[0].frame, other[0].frame)


def test_videos_of_one_place_share_the_ground_and_others_do_not() -> None:
    def ground(seed: int, place: int) -> np.ndarray:
        return np.median([r.frame for r in scene(seed, place=place, walkers=1)], axis=0)

    same = np.abs(ground(1, 7) - ground(2, 7)).mean()
    assert same < 15 < np.abs(ground(1, 7) - ground(1, 8)).mean()


def test_shapes_and_kinds() -> None:
    rendered = scene(3, anomalies=("object",))[-1]
    assert rendered.frame.shape == (64, 96, 3)
    assert rendered.frame.dtype == np.uint8
    for mask in (rendered.anomaly, rendered.instances):
        assert mask.shape == (64, 96)
        assert mask.dtype == np.uint8
    assert set(np.unique(rendered.anomaly)) <= {0, 1}
    assert (rendered.instances[rendered.anomaly == 1] > 0).all()


def test_normal_videos_have_walkers_and_no_anomaly() -> None:
    frames = scene(4, frames=10)
    assert not any(r.anomaly.any() for r in frames)
    assert all(r.instances.any() for r in frames)
    assert not any(r.instances.any() for r in scene(4, frames=3, walkers=0))


@pytest.mark.parametrize("kind", ANOMALIES)
def test_each_anomaly_comes_after_a_normal_beginning(kind: str) -> None:
    frames = scene(5, frames=150, height=120, width=160, anomalies=(kind,), walkers=3)
    labels = np.array([r.anomaly.any() for r in frames])
    assert not labels[:30].any()
    assert labels.sum() > 20
    # Where the anomaly is, the frame differs from the empty place: the mask is where it says.
    inside = frames[int(np.flatnonzero(labels)[15])]
    assert inside.anomaly.sum() > 20


def test_a_cyclist_is_faster_than_walkers() -> None:
    def speed(positions: list[float]) -> float:
        return float(np.median(np.abs(np.diff(positions))))

    def middle(mask: np.ndarray) -> float:
        return float(np.nonzero(mask)[1].mean())

    bike = [middle(r.anomaly) for r in scene(6, frames=120, anomalies=("cyclist",), walkers=0)
            if r.anomaly[:, 2:-2].any() and not r.anomaly[:, [0, -1]].any()]  # fmt: skip
    walkers: list[float] = []
    before: dict[int, float] = {}
    for r in scene(6, frames=60):
        now = {int(k): middle(r.instances == k) for k in np.unique(r.instances) if k}
        walkers += [abs(now[k] - before[k]) for k in now.keys() & before.keys()]
        before = now
    assert speed(bike) > 2 * np.median(walkers)


@pytest.mark.parametrize("kind", ODD)
def test_what_is_odd_is_not_fast(kind: str) -> None:
    frames = scene(6, frames=150, height=120, width=160, anomalies=(kind,), walkers=0)
    masks = [r.anomaly for r in frames if r.anomaly.any()]
    middles = np.array([np.argwhere(mask).mean(0) for mask in masks[30:60]])
    # A walker at the plaza's middle makes 2 px a frame; the fall of 0.8 s is over.
    assert np.linalg.norm(np.diff(middles, axis=0), axis=1).mean() < 0.4
    before = frames[next(i for i, r in enumerate(frames) if r.anomaly.any()) - 1]
    assert before.instances.any()  # whoever does it walked there as others do
    assert not before.anomaly.any()


def test_only_the_bag_is_labelled_and_it_stays_where_it_was_put() -> None:
    frames = scene(6, frames=150, height=120, width=160, anomalies=("bag",), walkers=0)
    masks = [r.anomaly for r in frames if r.anomaly.any()]
    assert masks[-1].sum() < (frames[len(frames) - len(masks) - 1].instances > 0).sum()
    assert np.array_equal(masks[-1], masks[-20])


def test_the_choice_of_anomalies_keeps_the_record_of_older_demos(tmp_path: Path) -> None:
    write_demo(tmp_path / "fast", SMALL)
    assert "anomalies" not in (tmp_path / "fast" / "demo.json").read_text()
    write_demo(tmp_path / "odd", replace(SMALL, anomalies="odd"))
    assert '"anomalies": "odd"' in (tmp_path / "odd" / "demo.json").read_text()
    assert replace(SMALL, anomalies="all").test_kinds(8) == ("climber",)
    assert [SMALL.test_kinds(n) for n in (4, 5)] == [("object",), ("runner", "cyclist")]


def test_noise_and_slow_light() -> None:
    frames = np.stack([r.frame for r in scene(7, frames=100, walkers=0)]).astype(float)
    noise = np.diff(frames, axis=0).std() / np.sqrt(2)
    assert 1 < noise < 4
    light = frames.mean(axis=(1, 2, 3))
    assert np.ptp(light) > 1
    assert np.abs(np.diff(light)).max() < 1


def test_write_demo_is_read_by_its_manifest(tmp_path: Path) -> None:
    manifest = load_manifest("demo", write_demo(tmp_path / "demo", SMALL))
    assert [video.name for video in manifest.videos] == ["train/01", "test/01", "test/02"]
    for video in manifest.videos:
        facts = video.probe()
        assert (facts.frames, facts.width, facts.height, facts.fps) == (40, 96, 64, 25)
    truth = manifest.select("test")[0].truth()
    assert truth.pixels is not None
    assert np.array_equal(truth.labels, truth.pixels.read(range(40)).any(axis=(1, 2)))
    assert 0 < truth.labels.sum() < 40
    seed = SMALL.seed * 1_000_003 + 1
    drawn = np.stack([r.frame for r in scene(seed, place=SMALL.seed, frames=40)])
    decoded = manifest.select("train")[0].read(range(40))
    assert cv2.PSNR(drawn, decoded) > 25


def test_write_demo_again(tmp_path: Path) -> None:
    def digests() -> dict[str, str]:
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    write_demo(tmp_path, SMALL)
    first, times = digests(), {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    write_demo(tmp_path, SMALL)
    assert times == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}  # nothing to do
    (tmp_path / "demo.json").write_text("unfinished")  # as after a kill
    write_demo(tmp_path, SMALL)
    assert digests() == first
    with pytest.raises(ConfigurationError, match="something else"):
        write_demo(tmp_path, replace(SMALL, seed=1))
    assert digests() == first


@pytest.mark.parametrize(
    ("field", "value"),
    [("frames", 15), ("height", 33), ("width", 8), ("fps", 0.0), ("walkers", -1.0), ("seed", -1),
     ("fps", float("nan")), ("anomalies", "slow")],
)  # fmt: skip
def test_wrong_settings_name_the_field(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        DemoSettings(**{field: value})


def test_unknown_anomaly() -> None:
    with pytest.raises(ConfigurationError, match="dragon"):
        scene(1, anomalies=("dragon",))
