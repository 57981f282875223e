"""CompVis latent diffusion written out again from its published structure, as a reference.

Plain and slow: attention as explicit sums over heads, every layer by the name that the
original gives it, so that ``state_dict`` has the names of an original checkpoint.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def norm(channels, eps):
    return nn.GroupNorm(32, channels, eps=eps)


class TimeResBlock(nn.Module):
    def __init__(self, entry, exit, time, change=None):
        super().__init__()
        self.change = change
        self.in_layers = nn.Sequential(
            norm(entry, 1e-5), nn.SiLU(), nn.Conv2d(entry, exit, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, exit))
        self.out_layers = nn.Sequential(
            norm(exit, 1e-5), nn.SiLU(), nn.Dropout(0), nn.Conv2d(exit, exit, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if entry == exit else nn.Conv2d(entry, exit, 1)

    def resample(self, x):
        if self.change == "down":
            return F.avg_pool2d(x, 2)
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2) if self.change == "up" else x

    def forward(self, x, time):
        h = self.in_layers[2](self.resample(self.in_layers[1](self.in_layers[0](x))))
        h = h + self.emb_layers(time)[:, :, None, None]
        return self.skip_connection(self.resample(x)) + self.out_layers(h)


class HeadsAttention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.norm = norm(channels, 1e-5)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x, time):
        flat = x.flatten(2)
        rows = self.qkv(self.norm(flat))
        width = x.shape[1] // self.heads
        results = []
        for head in range(self.heads):  # the fused rows go by head, then q, k, v
            q, k, v = rows[:, 3 * width * head : 3 * width * (head + 1)].split(width, dim=1)
            weight = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(width), dim=-1)
            results.append(v @ weight.transpose(1, 2))
        return (flat + self.proj_out(torch.cat(results, dim=1))).reshape(x.shape)


class Step(nn.Sequential):
    def forward(self, x, time):
        for layer in self:
            x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, time)
        return x


class UNet(nn.Module):
    """``openaimodel.UNetModel`` with ``resblock_updown: true``."""

    def __init__(self, config):
        super().__init__()
        base, time = config.model_channels, 4 * config.model_channels
        widths = [base * m for m in config.channel_mult]
        self.base = base
        self.time_embed = nn.Sequential(nn.Linear(base, time), nn.SiLU(), nn.Linear(time, time))
        channels = 2 * config.embed_dim + 1
        self.input_blocks = nn.ModuleList([Step(nn.Conv2d(channels, base, 3, padding=1))])
        here, skips = base, [base]
        for level, width in enumerate(widths):
            for _ in range(config.num_res_blocks):
                layers = [TimeResBlock(here, width, time)]
                if config.attention(level):
                    layers.append(HeadsAttention(width, config.num_heads))
                self.input_blocks.append(Step(*layers))
                here = width
                skips.append(here)
            if level < len(widths) - 1:
                self.input_blocks.append(Step(TimeResBlock(here, here, time, "down")))
                skips.append(here)
        self.middle_block = Step(
            TimeResBlock(here, here, time),
            HeadsAttention(here, config.num_heads),
            TimeResBlock(here, here, time),
        )
        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for number in range(config.num_res_blocks + 1):
                layers = [TimeResBlock(here + skips.pop(), width, time)]
                here = width
                if config.attention(level):
                    layers.append(HeadsAttention(width, config.num_heads))
                if level and number == config.num_res_blocks:
                    layers.append(TimeResBlock(here, here, time, "up"))
                self.output_blocks.append(Step(*layers))
        self.out = nn.Sequential(
            norm(here, 1e-5), nn.SiLU(), nn.Conv2d(here, config.embed_dim, 3, padding=1)
        )

    def forward(self, x, timesteps):
        half = self.base // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        angles = timesteps[:, None].float() * rates
        time = self.time_embed(torch.cat([angles.cos(), angles.sin()], dim=1))
        kept = []
        for block in self.input_blocks:
            x = block(x, time)
            kept.append(x)
        x = self.middle_block(x, time)
        for block in self.output_blocks:
            x = block(torch.cat([x, kept.pop()], dim=1), time)
        return self.out(x)


class ResnetBlock(nn.Module):
    def __init__(self, entry, exit):
        super().__init__()
        self.norm1, self.conv1 = norm(entry, 1e-6), nn.Conv2d(entry, exit, 3, padding=1)
        self.norm2, self.conv2 = norm(exit, 1e-6), nn.Conv2d(exit, exit, 3, padding=1)
        if entry != exit:
            self.nin_shortcut = nn.Conv2d(entry, exit, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


def named(**modules):
    holder = nn.Module()
    for name, module in modules.items():
        setattr(holder, name, module)
    return holder


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths = [config.ch * m for m in config.ch_mult]
        self.conv_in = nn.Conv2d(3, config.ch, 3, padding=1)
        self.down, here = nn.ModuleList(), config.ch
        for level, width in enumerate(widths):
            blocks = nn.ModuleList()
            for _ in range(config.vq_res_blocks):
                blocks.append(ResnetBlock(here, width))
                here = width
            self.down.append(named(block=blocks))
            if level < len(widths) - 1:
                self.down[level].downsample = named(conv=nn.Conv2d(here, here, 3, stride=2))
        self.mid = named(block_1=ResnetBlock(here, here), block_2=ResnetBlock(here, here))
        self.norm_out = norm(here, 1e-6)
        self.conv_out = nn.Conv2d(here, config.z_channels, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.down:
            for block in level.block:
                x = block(x)
            if hasattr(level, "downsample"):
                x = level.downsample.conv(F.pad(x, (0, 1, 0, 1)))
        x = self.mid.block_2(self.mid.block_1(x))
        return self.conv_out(F.silu(self.norm_out(x)))


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths = [config.ch * m for m in config.ch_mult]
        here = widths[-1]
        self.conv_in = nn.Conv2d(config.z_channels, here, 3, padding=1)
        self.mid = named(block_1=ResnetBlock(here, here), block_2=ResnetBlock(here, here))
        levels = []
        for level, width in reversed(list(enumerate(widths))):
            blocks = nn.ModuleList()
            for _ in range(config.vq_res_blocks + 1):
                blocks.append(ResnetBlock(here, width))
                here = width
            levels.insert(0, named(block=blocks))
            if level:
                levels[0].upsample = named(conv=nn.Conv2d(here, here, 3, padding=1))
        self.up = nn.ModuleList(levels)
        self.norm_out = norm(here, 1e-6)
        self.conv_out = nn.Conv2d(here, 3, 3, padding=1)

    def forward(self, z):
        x = self.mid.block_2(self.mid.block_1(self.conv_in(z)))
        for level in reversed(self.up):
            for block in level.block:
                x = block(x)
            if hasattr(level, "upsample"):
                x = level.upsample.conv(x.repeat_interleave(2, -1).repeat_interleave(2, -2))
        return self.conv_out(F.silu(self.norm_out(x)))


class FirstStage(nn.Module):
    """``autoencoder.VQModelInterface``: unquantised when encoding, quantised when decoding."""

    def __init__(self, config):
        super().__init__()
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantize = named(embedding=nn.Embedding(config.n_embed, config.embed_dim))
        self.quant_conv = nn.Conv2d(config.z_channels, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    def encode(self, x):
        return self.quant_conv(self.encoder(x))

    def decode(self, z):
        codes = self.quantize.embedding.weight
        rows = z.permute(0, 2, 3, 1).reshape(-1, codes.shape[1])
        squares = (rows**2).sum(1, keepdim=True) + (codes**2).sum(1)
        nearest = (squares - 2 * torch.einsum("bd,dn->bn", rows, codes.T)).argmin(1)
        quantised = codes[nearest].reshape(z.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        return self.decoder(self.post_quant_conv(quantised))


class LatentDiffusion(nn.Module):
    """The original inpainter: ``scripts/inpaint.py`` with its DDIM sampler, eta 0."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = named(diffusion_model=UNet(config))
        self.first_stage_model = FirstStage(config)
        self.cond_stage_model = self.first_stage_model
        ends = np.sqrt([config.linear_start, config.linear_end])
        betas = np.linspace(*ends, config.timesteps) ** 2
        self.register_buffer("betas", torch.tensor(betas, dtype=torch.float32))
        kept = torch.tensor(np.cumprod(1 - betas), dtype=torch.float32)
        self.register_buffer("alphas_cumprod", kept)

    def averages(self):
        """The buffers of ``LitEma(self.model)``, at present the weights themselves."""
        names = {f"model_ema.{n.replace('.', '')}": p for n, p in self.model.named_parameters()}
        return {
            **{name: p.detach().clone() for name, p in names.items()},
            "model_ema.decay": torch.tensor(0.9999),
            "model_ema.num_updates": torch.tensor(7),
        }

    @torch.no_grad()
    def inpaint(self, image, mask, noise, steps):
        """``image`` (N, 3, H, W) in [0, 1], ``mask`` (N, 1, H, W) of 0 and 1, ``noise`` latent."""
        masked = (1 - mask) * image
        image, mask, masked = (2 * x - 1 for x in (image, mask, masked))
        c = self.first_stage_model.encode(masked)
        c = torch.cat([c, F.interpolate(mask, size=c.shape[-2:])], dim=1)
        stride = self.config.timesteps // steps
        x, kept = noise, self.alphas_cumprod
        times = np.arange(0, self.config.timesteps, stride) + 1
        for number in reversed(range(len(times))):
            now = kept[times[number]]
            before = kept[times[number - 1]] if number else kept[0]
            t = torch.full((len(x),), int(times[number]))
            e = self.model.diffusion_model(torch.cat([x, c], dim=1), t)
            clean = (x - (1 - now).sqrt() * e) / now.sqrt()
            x = before.sqrt() * clean + (1 - before).sqrt() * e
        filled = self.first_stage_model.decode(x)
        image, mask, filled = (((y + 1) / 2).clamp(0, 1) for y in (image, mask, filled))
        return (1 - mask) * image + mask * filled


def checkpoint(model):
    """The ``state_dict`` of an original checkpoint, moving averages included."""
    return {**model.state_dict(), **model.averages()}


def randomise(model, seed=0):
    """Random weights, of a size at which no layer dies or explodes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("embedding.weight"):
                p.copy_(torch.randn(p.shape, generator=generator))
            elif p.ndim > 1:
                fan = p[0].numel()
                p.copy_(torch.randn(p.shape, generator=generator) / math.sqrt(fan))
            else:
                base = 1.0 if "norm" in name or name.endswith((".0.weight",)) else 0.0
                p.copy_(base + 0.1 * torch.randn(p.shape, generator=generator))
    return model.eval()
