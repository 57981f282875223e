"""Where the metrics of a training go: metrics.jsonl always, a tracker if asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.base.errors import ConfigurationError
from training.record.folder import RunFolder


class Tracker:
    """Write metrics as JSON lines, and to TensorBoard, MLflow or Weights & Biases.

    Parameters
    ----------
    folder
        The training's folder.
    recipe
        Its recipe; the trackers that keep settings are given it.
    kind
        ``none``, ``tensorboard``, ``mlflow`` or ``wandb``.
    active
        False on all processes but the first: nothing is written.

    Raises
    ------
    ConfigurationError
        If the tracker is not installed.
    """

    def __init__(
        self, folder: RunFolder, recipe: dict[str, Any], kind: str = "none", active: bool = True
    ) -> None:
        self._path = folder.metrics if active else None
        self._send: Callable[[dict[str, float], int], None] | None = None
        self._close: Callable[[], None] | None = None
        if active and kind != "none":
            self._send, self._close = TRACKERS[kind](folder.path, recipe)

    def write(self, type: str, step: int, **values: Any) -> None:
        """Record the values of a ``step`` or an ``epoch``; numbers reach the tracker as well."""
        if self._path is None:
            return
        line = json.dumps({"type": type, "step": step, **values})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._send is not None:
            numbers = {
                f"{type}/{name}": float(value)
                for name, value in values.items()
                if isinstance(value, int | float)
            }
            self._send(numbers, step)

    def close(self) -> None:
        """Finish what the tracker has open."""
        if self._close is not None:
            self._close()


Opened = tuple[Callable[[dict[str, float], int], None], Callable[[], None]]


def _tensorboard(folder: Path, recipe: dict[str, Any]) -> Opened:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise _missing("tensorboard") from None
    writer = SummaryWriter(str(folder / "tensorboard"))  # type: ignore[no-untyped-call]

    def send(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call]

    return send, writer.close


def _mlflow(folder: Path, recipe: dict[str, Any]) -> Opened:
    try:
        import mlflow
    except ImportError:
        raise _missing("mlflow") from None
    mlflow.set_experiment(recipe["data"]["dataset"])
    mlflow.start_run(run_name=_run_name(recipe))
    mlflow.log_params(recipe["settings"])
    return lambda values, step: mlflow.log_metrics(values, step=step), mlflow.end_run


def _wandb(folder: Path, recipe: dict[str, Any]) -> Opened:
    try:
        import wandb
    except ImportError:
        raise _missing("wandb") from None
    run = wandb.init(
        project=recipe["data"]["dataset"],
        name=_run_name(recipe),
        id=recipe["key"],
        resume="allow",
        dir=str(folder),
        config=recipe["settings"],
    )
    return lambda values, step: run.log(values, step=step), run.finish


TRACKERS: dict[str, Callable[[Path, dict[str, Any]], Opened]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}


def _run_name(recipe: dict[str, Any]) -> str:
    settings = recipe["settings"]
    return f"{settings['method']}-seed{settings['seed']}-{recipe['kind']}"


def _missing(package: str) -> ConfigurationError:
    return ConfigurationError(
        f"tracker: {package} is not installed; install the extra, "
        f"pip install -c constraints.txt -e '.[{package}]', or set tracker to none"
    )
