"""Shards made before are found after: the key of every stage under every preset and variant.

A row changes only where a stage's output has to change, with its ``VERSION``, a line in
CHANGELOG.md, and all stages that read it. ``python -m tests.pipeline.execution.test_keys``
prints the table of today.
"""

import dataclasses
import hashlib
import tempfile
from pathlib import Path

import pytest
import yaml

from pipeline.execution.catalogue import PlannedVideo
from pipeline.execution.plan import Plan, plan_stages
from pipeline.shards.reader import VideoInfo
from pipeline.stages.registry import Stages

ROOT = Path(__file__).parents[3]
SHARD_FRAMES = 512
TABLE = yaml.safe_load((Path(__file__).parent / "keys.yaml").read_text(encoding="utf-8"))
SETTINGS = sorted((ROOT / "pipeline").glob("[pv]*s/*.yaml"))


def digest(path: Path) -> str:
    """Stand for a model's content by its file's name, so that new weights change no row here."""
    return hashlib.sha256(Path(path).name.encode()).hexdigest()


def stages_of(settings: Path, models: Path) -> Stages:
    """Read a preset, with empty files for the models that it names."""
    chosen = {}
    content = yaml.safe_load(settings.read_text(encoding="utf-8"))["stages"]
    for field in dataclasses.fields(Stages):
        values = dict(content.get(field.name, {}))
        if "model" in values:
            path = models / Path(values["model"]).name
            path.touch()
            values["model"] = str(path)
        kind = field.default_factory
        listed = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        chosen[field.name] = kind(**listed)
    return Stages(**chosen)


def keys_of(settings: Path, models: Path) -> dict[str, str]:
    stages = stages_of(settings, models).by_name()
    planned = plan_stages("d", Path("cache"), stages, tuple(stages), SHARD_FRAMES, digest)
    return {name: entry.key for name, entry in planned.items()}


@pytest.mark.parametrize("row", TABLE)
def test_keys_are_those_of_before(row, tmp_path):
    assert keys_of(ROOT / "pipeline" / f"{row}.yaml", tmp_path) == TABLE[row]


def test_a_shard_lies_where_it_lay(tmp_path):
    info = VideoInfo("test/a b", "test", 40, "", True, False, 25.0)
    video = PlannedVideo(info, None, "a" * 64, "b" * 64, True)
    settings = ROOT / "pipeline/presets/quick.yaml"
    stages = stages_of(settings, tmp_path).by_name()
    wanted = ("frames", "labels")
    planned = plan_stages("ped2", Path("cache"), stages, wanted, SHARD_FRAMES, digest)
    plan = Plan("ped2", Path("cache"), SHARD_FRAMES, planned, (video,))
    keys = {name: key[:12] for name, key in TABLE["presets/quick"].items()}
    assert plan.folder("frames", video) == Path(
        f"cache/ped2/frames/{keys['frames']}/test/a%20b-aaaaaaaa"
    )
    # Labels depend on the ground truth too: SHA-256 of both digests, a line each.
    both = hashlib.sha256(f"{'a' * 64}\n{'b' * 64}".encode()).hexdigest()[:8]
    assert plan.folder("labels", video) == Path(
        f"cache/ped2/labels/{keys['labels']}/test/a%20b-{both}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        table = {f"{p.parent.name}/{p.stem}": keys_of(p, Path(folder)) for p in SETTINGS}
    print(yaml.safe_dump(table, sort_keys=False), end="")
