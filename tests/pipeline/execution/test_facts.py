"""What execution knows of a stage, it knows by the class: no stage is called by name."""

import re
from pathlib import Path

from pipeline.execution.catalogue import PlannedVideo
from pipeline.execution.plan import Plan, plan_stages
from pipeline.execution.todo import Settings, video_tasks
from pipeline.shards.reader import VideoInfo
from pipeline.stages.base import Array, Stage
from pipeline.stages.features import Features
from pipeline.stages.inpaint import Inpaint
from pipeline.stages.instances import Instances
from pipeline.stages.labels import Labels
from pipeline.stages.registry import Stages
from tests.pipeline.toys import FakeVideo, Noise

EXECUTION = Path(__file__).parents[3] / "pipeline/execution"


def test_no_stage_is_named_in_execution():
    names = "|".join(set(Stages().by_name()) - {"frames"})  # a word of many other things
    for path in EXECUTION.rglob("*.py"):
        code = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.S)
        assert not re.findall(rf"""["']({names})["']""", code), path


class Judged(Noise):
    """A stage that reads frames' ground truth, and writes an array of pixel truth."""

    NAME = "judged"
    READS_TRUTH = True
    OF_PIXEL_TRUTH = frozenset({"region"})

    def arrays(self, inputs):
        return {"kind": Array("uint8", ()), "region": Array("uint8", (4, 4))}


def test_a_stage_says_what_it_needs_of_the_truth(tmp_path):
    stages: dict[str, Stage] = {"noise": Noise(), "judged": Judged()}
    planned = plan_stages("toy", tmp_path, stages, ("noise", "judged"), 16, lambda path: "")
    info = VideoInfo("test/00", "test", 20, "", True, False, 25.0)
    videos = [PlannedVideo(info, FakeVideo("v"), "a" * 64, truth, True) for truth in ("b", "c")]
    videos.append(PlannedVideo(info, FakeVideo("v"), "a" * 64, "b", False))
    plans = [Plan("toy", tmp_path, 16, planned, (video,)) for video in videos]
    folders = [plan.folder("judged", plan.videos[0]) for plan in plans]
    assert folders[0] != folders[1]
    assert folders[0] == folders[2]
    assert len({plan.folder("noise", plan.videos[0]) for plan in plans}) == 1
    written = [set(plan.video_specs("judged", plan.videos[0])) for plan in plans]
    assert written == [{"kind", "region"}, {"kind", "region"}, {"kind"}]
    left = {"noise": (0,), "judged": (0,)}
    tasks = video_tasks(plans[0], plans[0].videos[0], left, Settings(), tmp_path)
    assert tasks["judged"][0].truth == FakeVideo("v")
    assert tasks["noise"][0].truth is None


def test_a_network_wants_a_gpu_and_nothing_else_does():
    assert Inpaint().wants_gpu()
    assert Features().wants_gpu()
    assert Instances(engine="segmentation", model="somewhere").wants_gpu()
    assert not Instances().wants_gpu()
    assert not Inpaint(engine="telea").wants_gpu()
    assert not Labels().wants_gpu()
