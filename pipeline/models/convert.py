"""Convert the paper's inpainter from its published checkpoint to a ``diffusers`` folder.

    python -m pipeline.models.convert inpainting_big last.ckpt OUT

Every tensor of the checkpoint is either moved, or known not to be needed and checked for
agreement with what is; every parameter of the new model is filled. Anything else is an
error that names the first tensor concerned.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import ConfigurationError, DataError, run_main
from pipeline.models.checkpoint import check_finite, load_tensors
from pipeline.models.inpainting.compvis import (
    MODELS,
    PARTS,
    Block,
    CompVisConfig,
    scheduler_arguments,
    unet_arguments,
    unet_blocks,
    vq_arguments,
    vq_blocks,
)

if TYPE_CHECKING:
    import torch

    from pipeline.models.inpainting.latent import LatentInpaintingPipeline

Tensors = Mapping[str, "torch.Tensor"]

UNET, FIRST_STAGE, CONDITION = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."
EMA = "model_ema."
EMA_STATE = ("model_ema.decay", "model_ema.num_updates")
SCHEDULE = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "lvlb_weights",
    "logvar",
    "ddim_sigmas",
    "ddim_alphas",
    "ddim_alphas_prev",
    "ddim_sqrt_one_minus_alphas",
)
"""What trainer and sampler derive from the betas, which are compared with the scheduler's."""
WEIGHTS = ("ema", "raw")


def convert(
    state: Tensors,
    config: CompVisConfig = MODELS["inpainting_big"],
    *,
    weights: str = "ema",
    ignore: Sequence[str] = (),
) -> LatentInpaintingPipeline:
    """Build a :class:`LatentInpaintingPipeline` from the tensors of a CompVis checkpoint.

    Parameters
    ----------
    state
        The checkpoint's ``state_dict``.
    weights
        ``ema``, the moving averages that the original samples with, or ``raw``.
    ignore
        Beginnings of names to leave out knowingly.

    Raises
    ------
    DataError
        If a tensor is missing, of another shape, left over, or contradicts its twin: the
        first such is named.
    ConfigurationError
        If ``weights`` is neither.
    """
    from diffusers import DDIMScheduler, UNet2DModel, VQModel

    from pipeline.models.inpainting.latent import LatentInpaintingPipeline

    if weights not in WEIGHTS:
        raise ConfigurationError(f"weights: {weights!r} is none of {WEIGHTS}")
    unused = {name for name in state if not name.startswith(tuple(ignore))}
    unet = UNet2DModel(**unet_arguments(config)).eval()
    vqvae = VQModel(**vq_arguments(config)).eval()
    scheduler = DDIMScheduler(**scheduler_arguments(config))

    raw = _renamed(UNET, unet_blocks(config), unet.state_dict())
    averages = {_average_of(name): targets for name, targets in raw.items()}
    if weights == "ema" and not any(name in state for name in averages):
        raise DataError(
            "has no moving averages (model_ema.*), with which the original samples; "
            "convert its last weights with --weights raw if that is what you want"
        )
    first_stage = _renamed(FIRST_STAGE, vq_blocks(config), vqvae.state_dict())
    _fill(unet, averages if weights == "ema" else raw, state, unused, config.num_heads)
    _fill(vqvae, first_stage, state, unused, config.num_heads)
    _account_for_rest(state, unused, {*raw, *averages}, scheduler)
    return LatentInpaintingPipeline(vqvae, unet, scheduler, attention_heads=config.num_heads)


def convert_file(
    checkpoint: Path, out: Path, config: CompVisConfig, weights: str, ignore: Sequence[str]
) -> None:
    """Convert a checkpoint file into the new folder ``out``, which appears whole or not at all.

    Raises
    ------
    ConfigurationError
        If ``out`` is there already.
    """
    if out.exists():
        raise ConfigurationError(f"{out}: is there already; remove it or name another folder")
    content = load_tensors(checkpoint)
    state = content.get("state_dict", content)
    _check_tensors(checkpoint, state)
    try:
        pipeline = convert(state, config, weights=weights, ignore=ignore)
    except DataError as error:
        raise DataError(f"{checkpoint}: {error}") from None
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    pipeline.save_pretrained(part)
    _open_to_others(part)
    part.rename(out)


def _open_to_others(folder: Path) -> None:
    """Give files the mode that the user's new files have; safetensors makes them private."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)


def _check_tensors(checkpoint: Path, state: Any) -> None:
    import torch

    if not isinstance(state, Mapping) or not state:
        raise DataError(f"{checkpoint}: holds no state_dict; expected a CompVis checkpoint")
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise DataError(
                f"{checkpoint}: {name} is a {type(value).__name__}, expected a tensor; "
                "this is no CompVis checkpoint"
            )


Targets = dict[str, tuple[str, ...]]
"""Checkpoint's name to the model's names; three where a tensor is split into q, k and v."""


def _renamed(prefix: str, blocks: Iterable[Block], parameters: Tensors) -> Targets:
    """Return where each checkpoint tensor goes, for the parameters that the model has."""
    names: Targets = {}
    for theirs, ours, kind in blocks:
        for old, new in PARTS[kind].items():
            for suffix in ("weight", "bias"):
                targets = tuple(".".join(filter(None, (ours, n, suffix))) for n in new.split(","))
                if targets[0] in parameters:
                    names[prefix + ".".join(filter(None, (theirs, old, suffix)))] = targets
    return names


def _average_of(name: str) -> str:
    """Return the moving average's name, which has lost the dots of the parameter's."""
    return EMA + name.removeprefix("model.").replace(".", "")


def _fill(model: Any, names: Targets, state: Tensors, unused: set[str], heads: int) -> None:
    """Copy tensors into the model's parameters; each is found and each is filled."""
    import torch

    parameters = dict(model.state_dict())
    empty = dict.fromkeys(parameters)
    for name, targets in names.items():
        if name not in state:
            raise DataError(f"tensor {name} is missing; it would fill {targets[0]}")
        unused.discard(name)
        check_finite(f"tensor {name}", state[name])
        parts = _split_heads(state[name], heads) if len(targets) > 1 else [state[name]]
        for target, tensor in zip(targets, parts, strict=True):
            slot = parameters[target]
            value = tensor.squeeze(-1) if tensor.ndim == slot.ndim + 1 else tensor
            if value.shape != slot.shape:
                raise DataError(
                    f"tensor {name} has shape {tuple(tensor.shape)}, but {target} needs "
                    f"{tuple(slot.shape)}; this is another model than the one named"
                )
            with torch.no_grad():
                slot.copy_(value)
            empty.pop(target)
    if empty:
        raise DataError(f"nothing in the checkpoint fills {next(iter(empty))}")


def _split_heads(tensor: torch.Tensor, heads: int) -> Sequence[torch.Tensor]:
    """Split a fused qkv, whose rows go by head, then by q, k and v, into q, k and v."""
    if tensor.shape[0] % (3 * heads):
        raise DataError(f"a fused qkv of {tensor.shape[0]} rows does not split into {heads} heads")
    rows = tensor.reshape(heads, 3, tensor.shape[0] // (3 * heads), -1)
    shape = (tensor.shape[0] // 3, *tensor.shape[1:])
    return [rows[:, part].reshape(shape) for part in range(3)]


def _account_for_rest(state: Tensors, unused: set[str], twins: set[str], scheduler: Any) -> None:
    """Check what was not moved: twins agree, the schedule is ours, nothing else is there."""
    for name in sorted(unused - twins - set(EMA_STATE)):
        value = state[name]
        if name in SCHEDULE:
            _check_schedule(name, value, scheduler)
        elif name.startswith(CONDITION):
            twin = FIRST_STAGE + name.removeprefix(CONDITION)
            if twin not in state or not _same(value, state[twin]):
                raise DataError(
                    f"tensor {name} differs from {twin}; the model must condition on its own "
                    "first stage"
                )
        elif name == "scale_factor":
            if float(value) != 1.0:
                raise DataError(f"scale_factor is {float(value)}, expected 1 for this model")
        else:
            raise _left_over(name)


def _left_over(name: str) -> DataError:
    first, dot, _ = name.partition(".")
    return DataError(
        f"tensor {name} has no place in the model; this is another model, or, if you know that "
        f"it is not needed, say --ignore {first}{dot}"
    )


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    return one.shape == other.shape and bool(torch.equal(one, other))


def _check_schedule(name: str, value: torch.Tensor, scheduler: Any) -> None:
    ours = {"betas": scheduler.betas, "alphas_cumprod": scheduler.alphas_cumprod}.get(name)
    if ours is None:
        return
    if value.shape != ours.shape or float((value.float() - ours).abs().max()) > 1e-5:
        raise DataError(f"{name}: the checkpoint's noise schedule is not that of the model named")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    from pipeline.base.cli import Parser

    parser = Parser(prog="python -m pipeline.models.convert", description=__doc__)
    parser.add_argument("model", choices=sorted(MODELS), help="Which published model.")
    parser.add_argument("checkpoint", type=Path, help="Its file, last.ckpt.")
    parser.add_argument("out", type=Path, help="A new folder.")
    parser.add_argument(
        "--weights",
        choices=WEIGHTS,
        default="ema",
        help="Moving averages, with which the original samples, or the last weights.",
    )
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="PREFIX", help="Leave such tensors out."
    )
    given = parser.parse_args(arguments)
    config = MODELS[given.model]
    convert_file(given.checkpoint, given.out, config, given.weights, given.ignore)
    print(f"{given.out}: written; use it with the settings engine latent, model {given.out}")
    return 0


if __name__ == "__main__":
    run_main(lambda: main(sys.argv[1:]))
