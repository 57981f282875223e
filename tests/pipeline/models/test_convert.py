"""The converter against CompVis latent diffusion, written out again in compvis_reference."""

import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.base.errors import ConfigurationError, DataError
from pipeline.models import convert as module
from pipeline.models.convert import convert, convert_file
from pipeline.models.inpainting.compvis import MODELS, CompVisConfig
from pipeline.models.inpainting.latent import LatentInpaintingPipeline
from tests.pipeline.models.inpainting import compvis_reference as compvis

CONFIG = CompVisConfig(
    model_channels=32,
    channel_mult=(1, 2, 3),
    num_res_blocks=2,
    attention_resolutions=(4, 2),
    num_heads=8,
    ch=32,
    ch_mult=(1, 2, 2),
    vq_res_blocks=2,
    n_embed=100,
)


@pytest.fixture(scope="module")
def original():
    return compvis.randomise(compvis.LatentDiffusion(CONFIG))


@pytest.fixture
def state(original):
    return dict(compvis.checkpoint(original))


@pytest.fixture
def checkpoint(state, tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state, "epoch": 3}, path)
    return path


def entry(size=16):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 7, size, size, generator=generator), torch.tensor([17, 801])


def test_the_published_configuration():
    """models/ldm/inpainting_big/config.yaml, and the numbers of docs/method.md, 3."""
    from pipeline.models.inpainting.compvis import scheduler_arguments, unet_arguments, vq_arguments

    config = MODELS["inpainting_big"]
    unet, vq, ddim = (f(config) for f in (unet_arguments, vq_arguments, scheduler_arguments))
    assert unet["block_out_channels"] == (256, 512, 768, 1024)
    assert unet["down_block_types"] == ("ResnetDownsampleBlock2D",) + ("AttnDownBlock2D",) * 3
    assert unet["up_block_types"] == ("AttnUpBlock2D",) * 3 + ("ResnetUpsampleBlock2D",)
    assert (unet["in_channels"], unet["out_channels"], unet["layers_per_block"]) == (7, 3, 2)
    assert vq["block_out_channels"] == (128, 256, 512)
    assert (vq["num_vq_embeddings"], vq["scaling_factor"]) == (8192, 1.0)
    assert (ddim["beta_start"], ddim["beta_end"]) == (0.0015, 0.0205)
    assert config.num_heads == 8


def test_full_size_names_fit():
    """Without filling gigabytes: every name and shape of the real model has its place."""
    config = MODELS["inpainting_big"]
    with torch.device("meta"):
        unet, first = compvis.UNet(config), compvis.FirstStage(config)
        from diffusers import UNet2DModel, VQModel

        new_unet = UNet2DModel(**module.unet_arguments(config))
        new_vq = VQModel(**module.vq_arguments(config))
    for old, new, blocks in (
        (unet, new_unet, module.unet_blocks(config)),
        (first, new_vq, module.vq_blocks(config)),
    ):
        names = module._renamed("", blocks, new.state_dict())
        assert names.keys() == old.state_dict().keys()
        targets = [target for several in names.values() for target in several]
        assert sorted(targets) == sorted(new.state_dict())
        for name, several in names.items():
            elements = sum(new.state_dict()[target].numel() for target in several)
            assert elements == old.state_dict()[name].numel()


def test_unet_agrees_after_saving_and_loading(original, checkpoint, tmp_path):
    convert_file(checkpoint, tmp_path / "out", CONFIG, "ema", ())
    pipe = LatentInpaintingPipeline.from_pretrained(tmp_path / "out")
    pipe.save_pretrained(tmp_path / "again")
    again = LatentInpaintingPipeline.from_pretrained(tmp_path / "again")
    with torch.no_grad():
        wanted = original.model.diffusion_model(*entry())
        for loaded in (pipe, again):
            assert (loaded.unet(*entry()).sample - wanted).abs().max() < 1e-5


def test_the_number_of_heads_matters(original, state):
    """docs/method.md, 3: without the fix it loads cleanly and computes something else."""
    pipe = convert(state, CONFIG)
    wrong = type(pipe.unet)(**module.unet_arguments(CONFIG)).eval()
    wrong.load_state_dict(pipe.unet.state_dict())
    with torch.no_grad():
        wanted = original.model.diffusion_model(*entry())
        assert (wrong(*entry()).sample - wanted).abs().max() > 1e-3
        assert (pipe.unet(*entry()).sample - wanted).abs().max() < 1e-5


def test_first_stage_agrees(original, state):
    pipe = convert(state, CONFIG)
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        latents = original.first_stage_model.encode(image)
        assert (pipe.vqvae.encode(image).latents - latents).abs().max() < 1e-5
        wanted = original.first_stage_model.decode(latents)
        assert (pipe.decode(latents) - wanted).abs().max() < 1e-5
        assert (pipe.vqvae.decode(latents).sample - wanted).abs().max() < 1e-5


def test_whole_inpainting_agrees(original, state):
    pipe = convert(state, CONFIG)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(2, 3, 32, 32, generator=generator)
    mask = torch.zeros(2, 1, 32, 32)
    mask[:, :, 6:21, 9:30] = 1
    noise = torch.randn(2, 3, 8, 8, generator=generator)
    wanted = original.inpaint(image, mask, noise, steps=5)
    found = pipe(image, mask, num_inference_steps=5, latents=noise, output_type="pt").images
    assert (found - wanted).abs().max() < 1e-4


def test_moving_averages_are_taken(original, state):
    for name in state:
        if name.startswith("model.diffusion_model."):
            state[name] = state[name] + 1
    pipe = convert(state, CONFIG)
    raw = convert(state, CONFIG, weights="raw")
    with torch.no_grad():
        wanted = original.model.diffusion_model(*entry())
        assert (pipe.unet(*entry()).sample - wanted).abs().max() < 1e-5
        assert not torch.allclose(raw.unet(*entry()).sample, wanted, atol=1e-3)


def test_every_parameter_is_filled_from_the_checkpoint(state):
    """By property: whatever tensor is changed, the pipeline changes."""
    rng = np.random.default_rng(0)
    plain = {
        **convert(state, CONFIG).unet.state_dict(),
        **convert(state, CONFIG).vqvae.state_dict(),
    }
    used = [n for n in state if n.startswith(("model_ema.diff", "first_stage_model."))]
    for name in rng.choice(used, 12, replace=False):
        changed = dict(state)
        changed[name] = state[name] + 1
        if name.startswith("first_stage_model."):
            changed["cond" + name.removeprefix("first")] = changed[name]
        pipe = convert(changed, CONFIG)
        found = {**pipe.unet.state_dict(), **pipe.vqvae.state_dict()}
        assert any(not torch.equal(found[n], plain[n]) for n in plain)


def change(name, tensor):
    def apply(state):
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor

    return apply


NAME = "model_ema.diffusion_modelmiddle_block1qkvweight"


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (change(NAME, None), rf"{NAME} is missing; it would fill mid_block.attentions.0.to_q"),
        (change(NAME, torch.zeros(9, 9, 1)), "fused qkv of 9 rows"),
        (change("first_stage_model.encoder.conv_in.weight", None), "conv_in.weight is missing"),
        (
            change("model_ema.diffusion_modelinput_blocks00weight", torch.zeros(32, 9, 3, 3)),
            r"input_blocks00weight has shape \(32, 9, 3, 3\), but conv_in.weight needs \(32, 7,",
        ),
        (
            change("model.extra.weight", torch.zeros(1)),
            r"model.extra.weight has no place.*--ignore",
        ),
        (change("betas", torch.linspace(0, 1, 1000)), "noise schedule"),
        (change("scale_factor", torch.tensor(0.2)), "scale_factor is 0.2"),
        (
            change("cond_stage_model.quant_conv.bias", torch.zeros(3)),
            "cond_stage_model.quant_conv.bias differs",
        ),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(state, apply, message):
    apply(state)
    with pytest.raises(DataError, match=message):
        convert(state, CONFIG)


def test_without_moving_averages_the_remedy_is_named(state):
    state = {name: value for name, value in state.items() if not name.startswith("model_ema.")}
    with pytest.raises(DataError, match="--weights raw"):
        convert(state, CONFIG)
    assert convert(state, CONFIG, weights="raw").config.attention_heads == 8


def test_tensors_may_be_left_out_knowingly(state):
    state["loss.discriminator.weight"] = torch.zeros(1)
    with pytest.raises(DataError, match=r"loss.discriminator.weight .*--ignore loss\."):
        convert(state, CONFIG)
    convert(state, CONFIG, ignore=["loss."])


def test_a_trainers_objects_do_no_harm(state, tmp_path, monkeypatch):
    """Checkpoints of pytorch-lightning 1.4 have a callback's class among their keys."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    callback = type("ModelCheckpoint", (), {"__module__": name})
    sys.modules[name].ModelCheckpoint = callback
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state, "callbacks": {callback: {"best": 1.0}}}, path)
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
        monkeypatch.delitem(sys.modules, part)
    convert_file(path, tmp_path / "out", CONFIG, "ema", ())
    assert "pytorch_lightning" not in sys.modules
    assert (tmp_path / "out" / "model_index.json").is_file()


class Harmful:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_pickle_with_code_is_refused(state, tmp_path):
    target = tmp_path / "harm"
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state, "callbacks": Harmful(target)}, path)
    with pytest.raises(DataError, match=r"last\.ckpt: refused"):
        convert_file(path, tmp_path / "out", CONFIG, "ema", ())
    path.write_bytes(pickle.dumps({"state_dict": {}, "x": Harmful(target)}))
    with pytest.raises(DataError, match=r"last\.ckpt"):
        convert_file(path, tmp_path / "out", CONFIG, "ema", ())
    assert not target.exists()
    assert not (tmp_path / "out").exists()


def test_a_truncated_file_is_named(checkpoint, tmp_path):
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"last.ckpt: .*truncated"):
        convert_file(checkpoint, tmp_path / "out", CONFIG, "ema", ())


@pytest.mark.parametrize("content", [{"state_dict": 3}, {"epoch": 3}, {"state_dict": {"a": "b"}}])
def test_another_kind_of_checkpoint_is_named(content, tmp_path):
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(DataError, match=r"last\.ckpt"):
        convert_file(tmp_path / "last.ckpt", tmp_path / "out", CONFIG, "ema", ())


def test_nothing_is_overwritten(checkpoint, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigurationError, match="is there already"):
        convert_file(checkpoint, tmp_path / "out", CONFIG, "ema", ())


def test_the_command_line(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(module.MODELS, "inpainting_big", CONFIG)
    assert module.main(["inpainting_big", str(checkpoint), str(tmp_path / "out")]) == 0
    assert str(tmp_path / "out") in capsys.readouterr().out


def test_the_command_line_fails_with_one_line(tmp_path):
    missing = str(tmp_path / "no.ckpt")
    command = [sys.executable, "-m", "pipeline.models.convert", "inpainting_big", missing, "out"]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {missing}: no such file")
    assert done.stderr.count("\n") == 1


def test_the_samplers_buffers_are_accepted(state):
    for name in ("sigmas", "alphas", "alphas_prev", "sqrt_one_minus_alphas"):
        state[f"ddim_{name}"] = torch.zeros(50)
    state["logvar"] = torch.zeros(1000)
    convert(state, CONFIG)


@pytest.mark.parametrize("name", ["extra", "extra.weight"])
def test_the_advice_to_ignore_works(state, name):
    state[name] = torch.zeros(2)
    with pytest.raises(DataError, match="--ignore") as caught:
        convert(state, CONFIG)
    convert(state, CONFIG, ignore=[str(caught.value).split()[-1]])


def test_nan_is_refused(state):
    name = "model_ema.diffusion_modeltime_embed0bias"
    state[name] = torch.full_like(state[name], float("nan"))
    with pytest.raises(DataError, match=f"{name} holds NaN"):
        convert(state, CONFIG)


def test_converted_files_have_the_mode_of_new_files(checkpoint, tmp_path):
    before = os.umask(0o027)
    try:
        convert_file(checkpoint, tmp_path / "out", CONFIG, "ema", ())
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}
