"""Published micro AUC in % (docs/method.md, 2 and 9), beside which measured ones are set."""

from __future__ import annotations

PEERS = ("lntra/video",)
"""The protocols under which these numbers were measured."""

PUBLISHED: dict[str, dict[str, float]] = {
    "Baseline": {"ped2": 92.49, "avenue": 81.47, "shanghaitech": 71.28, "ubnormal": 54.06},
    "Patch": {"ped2": 94.77, "avenue": 84.91, "shanghaitech": 72.46, "ubnormal": 57.09},
    "Skip-frame": {"ped2": 96.50, "avenue": 84.67, "shanghaitech": 75.97, "ubnormal": 55.48},
    "STEAL": {"ped2": 98.40, "avenue": 87.10, "shanghaitech": 73.70},
    "MemAE": {"ped2": 94.10, "avenue": 83.30, "shanghaitech": 71.20},
    "the paper w/o D": {"ped2": 93.52, "avenue": 86.51, "shanghaitech": 71.76, "ubnormal": 57.53},
    "the paper w/ D": {"ped2": 93.53, "avenue": 86.61, "shanghaitech": 71.65, "ubnormal": 57.98},
}
"""By method (docs/method.md, 9); UBnormal's are of its validation videos."""

TRANSFER: dict[str, dict[str, float]] = {
    "Patch": {"ped2": 78.80, "avenue": 43.94, "shanghaitech": 61.57},
    "Skip-frame": {"ped2": 85.21, "avenue": 83.82, "shanghaitech": 70.52},
    "the paper w/ D": {"ped2": 85.37, "avenue": 83.50, "shanghaitech": 70.07},
}
"""Of networks trained on UBnormal (docs/method.md, 9)."""

MASKS = {
    "random": {"ped2": 91.18, "avenue": 83.13},
    "segmentation": {"ped2": 92.71, "avenue": 84.51},
}
"""Of A^s alone, by the masks of its pseudo-anomalies (docs/method.md, 2)."""
