"""What metrics.json says, in the words of a page: cards, notes, table rows, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaluation.indicators.base import Indicator
from evaluation.indicators.registry import by_name
from evaluation.measures.auc_table import weighed
from evaluation.protocols.base import Protocol
from evaluation.record.run import Run


def same(entry: dict[str, Any], protocol: Protocol) -> bool:
    """Whether an entry of metrics.json was computed under a protocol."""
    return (entry["protocol"], entry["normalise"]) == (protocol.name, protocol.normalise)


def scale_name(protocol: Protocol) -> str:
    """Return a protocol's scale in words."""
    return {
        "video": "each test video",
        "dataset": "the data set",
        "heldout": "held-out normal videos",
        "none": "nothing",
    }[protocol.normalise]


def cards(content: dict[str, Any], entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the summary: a value and what it is, for each card."""
    name = f"{entry['row']}, {entry['protocol']}"
    if entry["micro_auc"] is None:
        return [
            ("no AUC", entry["undefined"]),
            (str(content["test_videos"]), "test videos"),
            (str(len(content["heldout_videos"])), "held-out normal videos"),
        ]
    key = f"{entry['protocol']}/{entry['normalise']}"
    interval = entry.get("micro_auc_interval")
    between = f", {100 * interval['low']:.1f} to {100 * interval['high']:.1f}" if interval else ""
    return [
        (f"{100 * entry['micro_auc']:.2f} %", f"micro AUC, {name}{between}"),
        (f"{100 * entry['macro_auc']:.2f} %", f"macro AUC, {name}"),
        (f"{100 * entry['eer']:.2f} %", "equal error rate"),
        (
            str(content["scored_frames"][key]),
            f"scored frames, {content['anomalous_frames'][key]} anomalous",
        ),
        (str(content["labelled_videos"]), "labelled test videos"),
    ]


def notes(run: Run, content: dict[str, Any]) -> list[str]:
    """Return what a reader must know to take the numbers right."""
    notes = list(content["notes"])
    if content["not_trained"]:
        notes.append(f"Not trained, so without rows: {', '.join(content['not_trained'])}.")
    macro = next((e for e in content["results"] if e.get("macro_one_class_videos")), None)
    if macro:
        notes.append(
            f"{macro['macro_one_class_videos']} test videos have frames of one class only; for the "
            "macro AUC every video is padded with one normal frame of the lowest score and one "
            "anomalous frame of the highest."
        )
    features = run.dataset.stages.get("features", {}).get("recipe", {}).get("settings", {})
    if features.get("engine") == "efficientnet-lite0":
        notes.append(
            "D sees EfficientNet-Lite0 features, the embedded default, not the paper's ViFi-CLIP."
        )
    return notes


def groups(
    content: dict[str, Any], first: dict[str, Any]
) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
    """Return the table's rows by protocol; ``first`` is the entry that is marked."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in content["results"]:
        groups.setdefault((entry["protocol"], entry["normalise"]), []).append(
            table_row(entry, weighed(content, entry["protocol"])) | {"headline": entry is first}
        )
    result = []
    for (name, normalise), rows in groups.items():
        frames = content["scored_frames"][f"{name}/{normalise}"]
        by = scale_name(Protocol(name=name, normalise=normalise))  # type: ignore[arg-type]
        result.append(({"name": name, "by": by, "frames": f"{frames} frames"}, rows))
    return result


def table_row(entry: dict[str, Any], shown: Sequence[Indicator]) -> dict[str, Any]:
    """Return an entry of metrics.json as the texts of a row, weights of some indicators."""
    tuned, interval = entry.get("tuned_on_test"), entry.get("micro_auc_interval")

    def percent(name: str) -> str:
        return "-" if entry.get(name) is None else f"{100 * entry[name]:.2f}"

    def weights(eta: dict[str, float]) -> str:
        return " / ".join(f"{eta.get(one.NAME, 0):.2f}" for one in shown)

    return {
        "row": entry["row"],
        "undefined": entry.get("undefined", ""),
        "micro": percent("micro_auc"),
        "smoothed": percent("smoothed_micro_auc"),
        "macro": percent("macro_auc"),
        "eer": percent("eer"),
        "interval": f"{100 * interval['low']:.1f} – {100 * interval['high']:.1f}"
        if interval
        else "-",
        "eta": weights(entry["eta"]),
        "tuned": f"{100 * tuned['micro_auc']:.2f} ({weights(tuned['eta'])})" if tuned else "-",
    }


def region_lines(content: dict[str, Any]) -> list[str]:
    """Return RBDC and TBDC of each indicator in words."""
    return [
        f"{by_name(name).label}: {found['undefined']}"
        if "undefined" in found
        else f"{by_name(name).label}: RBDC {100 * found['rbdc']:.2f} %, TBDC "
        f"{100 * found['tbdc']:.2f} % ({found['regions']} regions, {found['tracks']} tracks)"
        for name, found in content["regions"].items()
    ]


def facts(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the provenance that is shown at a glance."""
    commits = {n["provenance"].get("commit") for n in content["networks"].values()} - {None}
    facts = [
        ("Data set", content["dataset"]),
        ("Method and seed", f"{content['method']}, {content['seed']}"),
        ("Held-out normal videos", ", ".join(content["heldout_videos"]) or "none"),
        ("Trained at commit", ", ".join(sorted(commits)) or "unknown"),
        ("Scoring", ", ".join(f"{k} {v}" for k, v in content["scoring"].items())),
    ]
    facts += [(f"Shards of {stage}", key[:12]) for stage, key in content["keys"].items()]
    facts += [(f"Weights of {name}", sha[:12]) for name, sha in content["fingerprints"].items()]
    facts += [(name, version) for name, version in content["versions"].items()]
    return facts
