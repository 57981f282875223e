import warnings

import pytest

from training.record import precision


def test_emulated_bf16_is_announced(monkeypatch):
    monkeypatch.setattr(precision, "has_bf16", lambda: False)
    with pytest.warns(UserWarning, match="bf16 is emulated.*set precision: fp32"):
        precision.warn_if_emulated("bf16", "cpu")


@pytest.mark.parametrize(("asked", "device", "has"), [
    ("fp32", "cpu", False), ("bf16", "cuda", False), ("bf16", "cpu", True),
])  # fmt: skip
def test_nothing_is_said_otherwise(monkeypatch, asked, device, has):
    monkeypatch.setattr(precision, "has_bf16", lambda: has)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        precision.warn_if_emulated(asked, device)
