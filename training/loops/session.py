"""What every training does beside learning: claim, reuse, resume, checkpoint, stop, say.

A loop opens a session, asks it for the checkpoint to begin from, and tells it of every step;
what a step is, and what a checkpoint holds besides, is the loop's own.

    with open_session(folder, recipe, run, group, resume=..., overwrite=...) as session:
        if session is not None:                # None: trained already
            with session.steps(total, done=...):
                for ...:
                    ...                        # a step
                    session.after(step, shown, state)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from tqdm import tqdm

from pipeline.base.errors import ConfigurationError, ProjectError
from pipeline.base.progress import progress_bar
from training.record.folder import RunFolder
from training.record.processes import Group
from training.record.reuse import adopt, make_way
from training.record.stopping import Stopper
from training.record.tracking import Tracker
from training.settings.base import RunSettings


class TrainingError(ProjectError):
    """The training itself went wrong: its loss is no number any more."""

    exit_status = 1


@dataclass
class Session:
    """One training under way.

    Attributes
    ----------
    folder, recipe, run, group
        Where it is kept, what it is, how it is carried out, and by which processes.
    state
        The checkpoint that it goes on from; None at the beginning.
    tracker
        Where its metrics go.
    stopper
        Whether it is to stop early.
    total, done
        Its length and how far it is, in units of ``unit``.
    """

    folder: RunFolder
    recipe: dict[str, Any]
    run: RunSettings
    group: Group
    state: dict[str, Any] | None
    tracker: Tracker
    stopper: Stopper
    unit: str = "step"
    total: int = 0
    done: int = 0
    _bar: Any = None
    _began: float = field(default_factory=time.monotonic)
    _saved: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds of training until now, those before an interruption included."""
        return time.monotonic() - self._began

    @contextlib.contextmanager
    def steps(
        self, total: int, *, done: int = 0, logged: int | None = None, seconds: float = 0.0
    ) -> Iterator[None]:
        """Show progress and heed signals while the steps are taken.

        Parameters
        ----------
        total, done
            How many there are, and how many were taken before.
        logged
            The step up to which metrics.jsonl is kept, where that is not ``done``.
        seconds
            What was spent before.
        """
        self.total, self.done = total, done
        if self.group.first:
            self.folder.keep_metrics(done if logged is None else logged)
        name = f"train {self.recipe['kind']}"
        self._bar = progress_bar(total, name, done=done) if self.group.first else tqdm(disable=True)
        self._began = time.monotonic() - seconds
        self._saved = time.monotonic()
        with self.stopper, self._bar:
            yield

    def save_due(self, seconds: float) -> bool:
        """Tell whether the last checkpoint is so long ago."""
        return time.monotonic() - self._saved >= seconds

    def advance(self, shown: str, count: int = 1) -> None:
        """Count steps that were taken, and show the last loss."""
        self.done += count
        self._bar.set_postfix(loss=shown, refresh=False)
        self._bar.update(count)

    def keep(self, state: Callable[[], dict[str, Any]], *, save: bool, stop: bool) -> None:
        """Write a checkpoint where one is due, and end the training where it is to stop.

        The last step writes none: what it would hold is the result.

        Parameters
        ----------
        state
            Returns what the next step depends on, besides recipe and generator.

        Raises
        ------
        KeyboardInterrupt
            If it is to stop; the checkpoint was written.
        """
        if self.done == self.total or not (save or stop):
            return
        if self.group.first:
            own = {"recipe": self.recipe, "generator": torch.get_rng_state()}
            self.folder.save(own | state())
        self.group.wait()
        self._saved = time.monotonic()
        if stop:
            if self.group.first:
                signalled = self.stopper.signalled
                why = "asked to stop" if signalled else "the time given by max_minutes is over"
                print(
                    f"{self.folder.path}: {why}; {self.unit} {self.done} of {self.total} is saved"
                )
            raise KeyboardInterrupt

    def check_finite(self, loss: float, where: str, advice: str) -> None:
        """Raise TrainingError if the loss is NaN or infinite."""
        if loss - loss == 0:
            return
        raise TrainingError(
            f"{self.folder.path}: the loss is {loss} in {where}; the last checkpoint is kept. Try "
            f"{advice} (with --overwrite), and `python -m pipeline verify` if the shards may be "
            "damaged"
        )


@contextlib.contextmanager
def open_session(
    folder: RunFolder,
    recipe: dict[str, Any],
    run: RunSettings,
    group: Group,
    *,
    resume: bool = False,
    overwrite: bool = False,
    unit: str = "step",
) -> Iterator[Session | None]:
    """Claim a training's folder, and say where in the training it stands.

    Yields
    ------
    Session or None
        None where this very training was finished here, or taken from ``run.reuse``.

    Raises
    ------
    ConfigurationError
        For a folder that another process holds or that holds another training; with ``resume``
        if there is no checkpoint.
    DataError
        For a damaged checkpoint or result.
    """
    with contextlib.ExitStack() as stack:
        if group.first:
            stack.enter_context(folder.claimed())
            if overwrite:
                folder.clear()
            else:
                make_way(folder, recipe)
                if run.reuse:
                    adopt(folder, run.reuse, recipe)
        group.wait()
        if folder.finished(recipe):
            if run.snapshots and recipe["kind"] in ("spatial", "temporal"):
                folder.check_snapshots(run.snapshots)
            if group.first:
                print(f"{folder.path}: trained already, with these settings; nothing to do")
            yield None
            return
        state = folder.load(recipe)
        if state is None and resume:
            raise ConfigurationError(f"{folder.checkpoint}: there is no checkpoint to resume from")
        tracker = Tracker(folder, recipe, run.tracker, active=group.first)
        stack.callback(tracker.close)
        stopper = Stopper(run.max_minutes)
        yield Session(folder, recipe, run, group, state, tracker, stopper, unit)


def alone(group: Group, kind: str) -> None:
    """Raise ConfigurationError where a training that takes one process was started on several."""
    if group.processes > 1:
        raise ConfigurationError(f"training {kind} runs on one process, without torchrun")
