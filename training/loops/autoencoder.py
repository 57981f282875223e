"""One training loop, read top to bottom, for A^s, A^t and the peers (docs/method.md, 6 and 9).

>>> train_autoencoder("runs/demo/demo/shards.json", "runs/demo/demo/unified-seed0/spatial",
...                   AutoencoderTraining(network="spatial"))                 # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import ConfigurationError
from pipeline.shards.reader import open_dataset
from training.feed.clips import Batch, load_steps
from training.feed.order import Step
from training.feed.resident import is_resident, resident_steps
from training.loops.plan import TrainingPlan, holdout_loss, plan_training, prepare
from training.loops.session import Session, open_session
from training.networks.allocator import keep_freed_memory
from training.networks.autoencoder import begin_normal, load_weights, reconstruction_loss
from training.networks.build import build_autoencoder
from training.record.folder import RunFolder
from training.record.precision import warn_if_emulated
from training.record.processes import Group, join_processes
from training.settings.base import AutoencoderTraining, RunSettings


@dataclass
class Position:
    """How far a training is; with the weights and the optimizer, all that the next step needs.

    ``normal_loss`` and ``pseudo_loss`` add up this epoch's losses of ``normal`` and
    ``pseudo`` clips; ``last`` is the last finished epoch's line of metrics.jsonl.
    """

    epoch: int = 0
    done: int = 0
    step: int = 0
    clips: int = 0
    seconds: float = 0.0
    normal_loss: float = 0.0
    normal: float = 0.0
    pseudo_loss: float = 0.0
    pseudo: float = 0.0
    last: dict[str, Any] = field(default_factory=dict)

    def count(self, step: Step) -> None:
        """Count a step that was taken; the first of an epoch starts new sums."""
        if step.number == 0:
            self.normal_loss = self.normal = self.pseudo_loss = self.pseudo = 0.0
        self.epoch, self.done = step.epoch, step.number + 1
        self.step, self.clips = self.step + 1, self.clips + step.total

    def close_epoch(self, holdout: float | None) -> None:
        """Write the epoch's line; losses are None where there were no such clips."""
        self.last = {
            "epoch": self.epoch,
            "clips": self.clips,
            "loss": self.normal_loss / self.normal if self.normal else None,
            "pseudo_loss": self.pseudo_loss / self.pseudo if self.pseudo else None,
            "holdout_loss": holdout,
            "seconds": round(self.seconds, 3),
        }


class Losses:
    """The losses of steps, added up where they are computed and looked at now and then.

    Looking makes a GPU wait until it has computed all that it was given.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._sums = torch.zeros(4, dtype=torch.float64, device=group.device)
        self._last = self._sums.clone()

    def add(self, losses: Tensor, pseudo: Tensor) -> None:
        """Add a step's losses (n,); ``pseudo`` (n,) bool says whose clip is a pseudo-anomaly."""
        which = torch.stack([~pseudo, pseudo]).double().to(self._sums.device, non_blocking=True)
        self._last = torch.cat([which @ losses.detach().double(), which.sum(1)])
        self._sums += self._last

    def look(self, position: Position, *flags: bool) -> tuple[float, ...]:
        """Add what was gathered to the position's sums, over all processes.

        Returns
        -------
        tuple
            The mean loss of the last step, then of each flag how many processes raised it.
        """
        mine = torch.cat([self._sums, self._last]).tolist()
        sums = self._group.sums([*mine, *map(float, flags)])
        self._sums.zero_()
        position.normal_loss += sums[0]
        position.pseudo_loss += sums[1]
        position.normal += sums[2]
        position.pseudo += sums[3]
        return ((sums[4] + sums[5]) / (sums[6] + sums[7]), *sums[8:])


def train_autoencoder(
    shards: str | Path,
    out: str | Path,
    settings: AutoencoderTraining,
    run: RunSettings | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Train A^s, A^t or a peer's autoencoder, or go on with a training that was interrupted.

    Parameters
    ----------
    shards
        ``shards.json`` of a pipeline run.
    out
        The training's folder. If this very training was finished there, nothing is done; if
        it was begun, it goes on, bit for bit as if it had not stopped (on one machine, with
        as many threads and processes).
    settings, run
        What decides the weights, and how the work is carried out.
    resume
        Insist on going on: an error if there is nothing to go on from.
    overwrite
        Begin again, whatever is in ``out``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigurationError
        For a missing stage, a folder that holds another training, a setting that does not fit.
    DataError
        For damaged shards or checkpoints.
    TrainingError
        If the loss is not finite.
    KeyboardInterrupt
        After Ctrl-C, SIGTERM or ``max_minutes``; a checkpoint was written.
    """
    run = run or RunSettings()
    folder = RunFolder(out)
    with join_processes(run.device) as group:
        if group.processes > 1 and run.engine == "fast":
            raise ConfigurationError(
                f"engine: fast takes BatchNorm over one process's clips, there are "
                f"{group.processes} processes; set engine: plain, or start one process"
            )
        plan = plan_training(open_dataset(shards), settings, group)
        with open_session(
            folder, plan.recipe, run, group, resume=resume, overwrite=overwrite
        ) as session:
            if session is not None:
                _train(plan, session)
    return folder.path


def _train(plan: TrainingPlan, session: Session) -> None:
    settings, schedule, run, group = plan.settings, plan.schedule, session.run, session.group
    network, optimizer, position = _start(plan, session)
    model = group.share(network).train()
    losses = Losses(group)
    total, every = schedule.total_steps, look_every(group.device, run)
    batches = _batches(plan, position, group, run)
    with session.steps(total, done=position.step, seconds=position.seconds):
        for batch in batches:
            # Forward, backward, update.
            clips, target, signs = prepare(batch, plan, group.device)
            with torch.autocast(group.device.type, torch.bfloat16, settings.precision == "bf16"):
                output, penalty = model(clips, penalty=True)
            found = reconstruction_loss(output.float(), target) * signs
            # DDP takes the mean over processes: this makes it the mean over the step's clips.
            share = group.processes / batch.step.total
            loss = (found.sum() + penalty * len(found)) * share
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            position.count(batch.step)
            losses.add(found, batch.pseudo)

            # Now and then: look at the losses, log, save, stop; at an epoch's end also measure.
            ends = position.done == schedule.steps(position.epoch)
            if ends or position.step % every == 0:
                due = group.first and session.save_due(60 * run.checkpoint_minutes)
                mean, stop, save = losses.look(position, session.stopper.wanted, due)
                _say(mean, batch.step, position, session, settings)
                if ends:
                    _close_epoch(network, position, plan, session)
                session.keep(
                    lambda: _state(network, optimizer, position),
                    save=bool(ends or save),
                    stop=bool(stop),
                )
    if group.first:
        _finish(network, position, plan, session)
    group.wait()


def _batches(
    plan: TrainingPlan, position: Position, group: Group, run: RunSettings
) -> Iterator[Batch]:
    """Return the batches of every step that is left, from the device or from the shards."""
    place = plan.clips, plan.schedule, position.epoch, position.done
    rank, processes, device = group.rank, group.processes, group.device
    if is_resident(run.resident, plan.clips, device):
        return resident_steps(*place, rank=rank, processes=processes, device=device)
    on_gpu = device.type == "cuda"
    return load_steps(*place, rank=rank, processes=processes, workers=run.workers, pin=on_gpu)


def look_every(device: torch.device, run: RunSettings) -> int:
    """Return after how many steps losses are looked at: on a CPU, where it costs nothing, each."""
    return run.log_steps if device.type == "cuda" else 1


def _start(
    plan: TrainingPlan, session: Session
) -> tuple[nn.Module, torch.optim.Optimizer, Position]:
    """Make the network from its seed, or as a checkpoint has it."""
    settings, run, device = plan.settings, session.run, session.group.device
    keep_freed_memory()
    torch.manual_seed(settings.seed)
    torch.backends.cudnn.deterministic = run.deterministic
    torch.backends.cudnn.benchmark = not run.deterministic
    warn_if_emulated(settings.precision, device.type)
    network = build_autoencoder(settings.architecture, run.engine)
    if settings.initialisation == "normal":
        begin_normal(network)
    network.to(device)
    if settings.channels_last:
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    fused = device.type == "cuda"
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=fused)
    if session.state is None:
        return network, optimizer, Position()
    load_weights(network, session.state["model"], str(session.folder.checkpoint))
    optimizer.load_state_dict(session.state["optimizer"])
    torch.set_rng_state(session.state["generator"])
    return network, optimizer, Position(**session.state["position"])


def _state(
    network: nn.Module, optimizer: torch.optim.Optimizer, position: Position
) -> dict[str, Any]:
    return {
        "model": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "position": asdict(position),
    }


def _say(
    mean: float, step: Step, position: Position, session: Session, settings: AutoencoderTraining
) -> None:
    """Check, show and log the loss of the last step."""
    advice = "precision fp32 or " if settings.precision == "bf16" else ""
    advice += "less p, " if settings.negative else ""
    advice += f"a learning_rate below {settings.learning_rate:g}"
    session.check_finite(mean, f"epoch {step.epoch}, step {step.number}", advice)
    position.seconds = session.seconds
    session.advance(f"{mean:.5f}", position.step - session.done)
    if position.step % session.run.log_steps == 0:
        session.tracker.write(
            "step",
            position.step,
            epoch=position.epoch,
            clips=position.clips,
            loss=mean,
            seconds=round(position.seconds, 3),
        )


def _close_epoch(
    network: nn.Module, position: Position, plan: TrainingPlan, session: Session
) -> None:
    """Measure and log an epoch, and keep its weights if they were asked for."""
    run = session.run
    position.close_epoch(holdout_loss(network, plan, session.group, run.holdout_stride))
    session.tracker.write("epoch", position.step, **position.last)
    if session.group.first and run.snapshots and (position.epoch + 1) % run.snapshots == 0:
        session.folder.snapshot(network, position.epoch + 1)


def _finish(network: nn.Module, position: Position, plan: TrainingPlan, session: Session) -> None:
    """Write the result and say so."""
    result: dict[str, Any] = {"steps": position.step, "processes": session.group.processes}
    result |= {"engine": session.run.engine, **position.last}
    session.folder.finish(network, plan.recipe, result)
    print(
        f"{session.folder.path}: trained on {position.clips} clips in {position.step} steps, "
        f"{position.seconds:.0f} s; loss {_shown(position.last['loss'])}, on held-out videos "
        f"{_shown(position.last['holdout_loss'])}"
    )


def _shown(value: float | None) -> str:
    return "(none)" if value is None else f"{value:.6f}"
