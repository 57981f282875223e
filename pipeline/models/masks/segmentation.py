"""Instances by any instance, universal or panoptic segmentation model of transformers.

Mask2Former, MaskFormer, DETR, EoMT, RF-DETR and whatever follows them: what the library's
auto classes know and whose image processor has ``post_process_instance_segmentation``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.device import device
from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models.source import ModelUse, resolve


@dataclass(frozen=True)
class Segmenter:
    """A network, the processor of its images, and the setting that named it."""

    network: Any
    processor: Any
    setting: str
    where: Path


@functools.lru_cache(maxsize=1)
def load(use: ModelUse) -> Segmenter:
    """Load a segmentation model.

    Raises
    ------
    ConfigurationError
        If it is not here and cannot be downloaded.
    DataError
        If it is no such model, or its files are incomplete or damaged.
    """
    from transformers import AutoImageProcessor
    from transformers.utils import logging

    folder = resolve(use)
    auto = _auto_class(folder, use)
    logging.disable_progress_bar()
    try:
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        network, report = auto.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # safetensors, json and torch each have their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{use.setting}: {folder} cannot be loaded ({reason})") from None
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise DataError(f"{use.setting}: {folder} has no weights for {missing[0]}")
    if not hasattr(processor, "post_process_instance_segmentation"):
        raise DataError(
            f"{use.setting}: {type(processor).__name__} of {folder} cannot tell instances apart; "
            "take an instance, universal or panoptic segmentation model"
        )
    return Segmenter(network.eval().to(device()), processor, use.setting, folder)


def label_maps(
    segmenter: Segmenter,
    images: np.ndarray,
    classes: Sequence[str],
    score: float,
    min_area: float,
) -> list[tuple[np.ndarray, int]]:
    """Segment frames.

    Parameters
    ----------
    images
        RGB uint8 (N, H, W, 3).
    classes
        Names of the classes that count; none named: all.
    score
        Least score of an instance.
    min_area
        Least area as a share of the frame.

    Returns
    -------
    list
        For each frame uint8 (H, W), 0 = background, instances numbered from the best
        score down; and how many there are, before the cap of 255.
    """
    import torch

    wanted = _class_ids(segmenter, classes)
    size = images.shape[1:3]
    inputs = segmenter.processor(images=list(images), return_tensors="pt")
    with torch.inference_mode():
        outputs = segmenter.network(**inputs.to(segmenter.network.device))
        results = segmenter.processor.post_process_instance_segmentation(
            outputs, threshold=score, target_sizes=[size] * len(images)
        )
    return [_label_map(result, size, wanted, min_area) for result in results]


def _label_map(
    result: dict[str, Any], size: tuple[int, ...], wanted: set[int] | None, min_area: float
) -> tuple[np.ndarray, int]:
    labels = np.zeros(size, np.uint8)
    if result["segmentation"] is None:
        return labels, 0
    segments = np.asarray(result["segmentation"].cpu())
    least = min_area * segments.size
    # Sorted by score, ties by the model's own order: the same frame gives the same map.
    kept = [
        segments == info["id"]
        for info in sorted(result["segments_info"], key=lambda info: -info["score"])
        if wanted is None or info["label_id"] in wanted
    ]
    kept = [mask for mask in kept if mask.any() and mask.sum() >= least]
    for label, mask in enumerate(kept[:255], start=1):
        labels[mask] = label
    return labels, len(kept)


def _class_ids(segmenter: Segmenter, classes: Sequence[str]) -> set[int] | None:
    names = {name: int(number) for number, name in segmenter.network.config.id2label.items()}
    unknown = [name for name in classes if name not in names]
    if unknown:
        some = ", ".join(sorted(names)[:20])
        raise ConfigurationError(
            f"instances.classes: {unknown[0]!r} is no class of {segmenter.where}; "
            f"its {len(names)} classes are {some}{', ...' if len(names) > 20 else ''}"
        )
    return {names[name] for name in classes} or None


def _auto_class(folder: Path, use: ModelUse) -> Any:
    import transformers
    from transformers.models.auto import modeling_auto

    path = folder / "config.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"{use.setting}: {path} cannot be read ({error}); needed: {use.needs}"
        ) from None
    known = {
        "AutoModelForUniversalSegmentation": (
            modeling_auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES
        ),
        "AutoModelForInstanceSegmentation": (
            modeling_auto.MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES
        ),
    }
    for name, kinds in known.items():
        if kind in kinds and kind != "oneformer":
            return getattr(transformers, name)
    usable = sorted({k for names in known.values() for k in names} - {"oneformer"})
    raise DataError(
        f"{use.setting}: {path} is of a model of type {kind!r}, which gives no instances; "
        f"usable types: {', '.join(usable)}"
    )
