import cv2
import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.stages.base import Array, Job
from pipeline.stages.flow import Flow


def frames(count=5):
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (60, 80, 3), np.uint8), (0, 0), 2)
    return np.stack([texture[10:50, 10 + t : 60 + t] for t in range(count)])


def compute(stage, images, span):
    return stage.compute(Job(video="train/01", frames=span, inputs={"frames": {"image": images}}))


def test_flow_of_each_frame_to_the_next():
    images = frames()
    stage = Flow(engine="opencv")
    flow = compute(stage, images, range(4))["flow"]
    assert flow.shape == (4, 40, 50, 2)
    assert flow.dtype == np.float16
    gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    for t in range(4):
        solver = cv2.optflow.DualTVL1OpticalFlow_create()
        expected = solver.calc(gray[t], gray[t + 1], None)
        np.testing.assert_array_equal(flow[t], expected.astype(np.float16))


@pytest.mark.parametrize("engine", ["tvl1", "fast"])
def test_own_engines_find_the_motion(engine):
    flow = compute(Flow(engine=engine), frames(), range(4))["flow"]
    assert np.median(flow[..., 0]) == pytest.approx(-1, abs=0.05)
    assert np.median(flow[..., 1]) == pytest.approx(0, abs=0.05)


def test_a_shard_is_a_part_of_the_video():
    images = frames()
    whole = compute(Flow(), images, range(4))["flow"]
    np.testing.assert_array_equal(compute(Flow(), images, range(2, 4))["flow"], whole[2:])


def test_one_flow_fewer_than_frames():
    stage = Flow()
    assert stage.length(120) == 119
    inputs = {"frames": {"image": Array("uint8", (256, 256, 3))}}
    assert stage.arrays(inputs) == {"flow": Array("float16", (256, 256, 2))}
    assert stage.inputs() == ("frames",)


def test_unknown_engine_names_the_setting():
    with pytest.raises(ConfigurationError, match=r"flow\.engine"):
        Flow(engine="farneback")
