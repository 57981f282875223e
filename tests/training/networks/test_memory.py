import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError
from training.networks.memory import Memory, MemorySettings, entropy, shrink


def by_loops(code, slots, threshold, cosine):
    """Gong et al., equations 3 to 7, one query at a time, in float64."""
    rebuilt, entropies = np.empty_like(code), []
    for b, t, y, x in np.ndindex(code.shape[0], *code.shape[2:]):
        query = code[b, :, t, y, x]
        scores = slots @ query
        if cosine:
            scores = scores / np.linalg.norm(slots, axis=1) / np.linalg.norm(query)
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        if threshold:
            weights = np.where(weights > threshold, weights, 0)
            weights /= max(weights.sum(), 1e-12)
        rebuilt[b, :, t, y, x] = weights @ slots
        entropies.append(-sum(w * np.log(w) for w in weights if w > 0))
    return rebuilt, np.mean(entropies)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.9])
def test_memory_equals_the_equations(similarity, threshold):
    torch.manual_seed(0)
    settings = MemorySettings(
        slots=30, shrinkage=threshold, entropy_weight=0.5, similarity=similarity
    )
    memory = Memory(8, settings).double()
    code = torch.randn(2, 8, 2, 3, 2, dtype=torch.float64) * 3
    rebuilt, penalty = memory(code)
    slots = memory.slots.detach().numpy()
    expected, nats = by_loops(code.numpy(), slots, threshold, similarity == "cosine")
    np.testing.assert_allclose(rebuilt.detach().numpy(), expected, rtol=1e-6, atol=1e-8)
    assert penalty.item() == pytest.approx(0.5 * nats, rel=1e-6, abs=1e-8)


def test_shrinkage_keeps_a_distribution_and_drops_what_is_small():
    weights = torch.tensor([0.5, 0.3, 0.15, 0.05])
    kept = shrink(weights, 0.1)
    assert kept.sum().item() == pytest.approx(1)
    assert kept[3] == 0
    np.testing.assert_allclose(kept[:3].numpy(), np.array([0.5, 0.3, 0.15]) / 0.95, rtol=1e-6)
    assert torch.equal(shrink(weights, 0.0), weights)


def test_entropy_of_known_distributions():
    assert entropy(torch.full((8,), 1 / 8)).item() == pytest.approx(np.log(8), rel=1e-6)
    assert entropy(torch.tensor([1.0, 0, 0])).item() == pytest.approx(0, abs=1e-6)


def test_gradients_reach_memory_and_code():
    torch.manual_seed(0)
    memory = Memory(4, MemorySettings(slots=6, shrinkage=0.05)).double()
    code = torch.randn(1, 4, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c, _: memory(c), (code, memory.slots), eps=1e-7)


@pytest.mark.parametrize(
    ("name", "value"),
    [("slots", -1), ("shrinkage", 1.0), ("entropy_weight", -1.0), ("similarity", "l2")],
)
def test_wrong_settings_are_refused_by_name(name, value):
    with pytest.raises(ConfigurationError, match=rf"memory.{name}: {value}"):
        MemorySettings(**{name: value})
