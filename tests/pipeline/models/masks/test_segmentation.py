"""Any segmentation model of transformers gives label maps; other models are refused by name."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.masks import segmentation
from pipeline.models.source import ModelUse
from tests.pipeline.models.masks import segmenters


def use(path):
    return ModelUse("instances.model", str(path), "a segmentation model")


def frames(count=2):
    return np.random.default_rng(0).integers(0, 256, (count, 48, 48, 3), np.uint8)


@pytest.fixture(scope="module", params=list(segmenters.MAKERS))
def network(request, tmp_path_factory):
    folder = segmenters.save(request.param, tmp_path_factory.mktemp(request.param))
    return segmentation.load(use(folder))


def test_models_give_label_maps(network):
    maps = segmentation.label_maps(network, frames(), (), 0.0, 0.0)
    assert len(maps) == 2
    assert sum(count for _, count in maps) > 0
    for labels, count in maps:
        assert labels.shape == (48, 48)
        assert labels.dtype == np.uint8
        assert labels.max() <= count


def test_batches_change_nothing(network):
    together = segmentation.label_maps(network, frames(), (), 0.0, 0.0)
    for image, (labels, count) in zip(frames(), together, strict=True):
        alone = segmentation.label_maps(network, image[None], (), 0.0, 0.0)[0]
        assert alone[1] == count
        assert np.mean(alone[0] != labels) < 0.02  # rounding moves single border pixels


def test_a_score_that_nothing_reaches(network):
    for labels, count in segmentation.label_maps(network, frames(), (), 0.999, 0.0):
        assert count == 0
        assert not labels.any()


class Scripted:
    """A network and a processor that find what they are told to find."""

    def __init__(self, segments, infos):
        self.segments, self.infos = segments, infos
        self.network = self._network
        self._network.device = torch.device("cpu")
        self._network.config = SimpleNamespace(id2label=segmenters.CLASSES)

    def segmenter(self):
        return segmentation.Segmenter(self.network, self, "instances.model", "folder")

    @staticmethod
    def _network(**inputs):
        return None

    def __call__(self, images, return_tensors):
        class Batch(dict):
            def to(self, device):
                return self

        return Batch()

    def post_process_instance_segmentation(self, outputs, threshold, target_sizes):
        kept = [info for info in self.infos if info["score"] >= threshold]
        return [{"segmentation": self.segments, "segments_info": kept}] * len(target_sizes)


def scripted():
    segments = torch.full((10, 10), -1.0)
    segments[0:5, 0:5] = 7
    segments[5:10, 5:10] = 8
    segments[0, 9] = 9
    infos = [
        {"id": 7, "label_id": 0, "score": 0.6},
        {"id": 8, "label_id": 2, "score": 0.9},
        {"id": 9, "label_id": 0, "score": 0.95},
    ]
    return Scripted(segments, infos).segmenter()


def test_best_score_first_and_specks_dropped():
    labels, count = segmentation.label_maps(scripted(), np.zeros((1, 10, 10, 3)), (), 0.5, 0.05)[0]
    assert count == 2
    assert np.all(labels[5:, 5:] == 1)
    assert np.all(labels[:5, :5] == 2)
    assert labels[0, 9] == 0


def test_classes_choose():
    labels, count = segmentation.label_maps(
        scripted(), np.zeros((1, 10, 10, 3)), ("car",), 0.5, 0.0
    )[0]
    assert count == 1
    assert labels.sum() == 25
    with pytest.raises(
        ConfigurationError, match=r"instances\.classes: 'dog'.*bicycle, car, person"
    ):
        segmentation.label_maps(scripted(), np.zeros((1, 10, 10, 3)), ("dog",), 0.5, 0.0)


def test_more_than_255_instances():
    segments = torch.arange(400.0).reshape(20, 20)
    infos = [{"id": i, "label_id": 0, "score": 1 - i / 1000} for i in range(400)]
    many = Scripted(segments, infos).segmenter()
    labels, count = segmentation.label_maps(many, np.zeros((1, 20, 20, 3)), (), 0.0, 0.0)[0]
    assert count == 400
    assert labels.max() == 255
    assert (labels == 0).sum() == 400 - 255


def test_other_models_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"config\.json cannot be read"):
        segmentation.load(use(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "segformer"}')
    with pytest.raises(DataError, match=r"'segformer', which gives no instances.*mask2former"):
        segmentation.load(use(tmp_path))
    (tmp_path / "config.json").write_text("not json")
    with pytest.raises(DataError, match="cannot be read"):
        segmentation.load(use(tmp_path))
    with pytest.raises(ConfigurationError, match="is not there"):
        segmentation.load(use(tmp_path / "gone"))


def test_truncated_weights(tmp_path):
    folder = segmenters.save("mask2former", tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"instances\.model: .* cannot be loaded"):
        segmentation.load(use(folder))


def test_weights_of_another_model(tmp_path):
    from safetensors.torch import save_file

    folder = segmenters.save("mask2former", tmp_path)
    save_file({"conv.weight": torch.zeros(3)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match="has no weights for"):
        segmentation.load(use(folder))
