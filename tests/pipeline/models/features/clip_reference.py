"""OpenAI CLIP's image transformer, written anew from its paper and its tensors' names.

Plain tensor algebra on a dictionary of tensors: nothing of it is shared with what it checks.
"""

import math

import torch

WIDTH, LAYERS, PATCH, GRID, PROJECTION = 128, 3, 8, 4, 512
IMAGE = PATCH * GRID


def random_tensors(seed=0, width=WIDTH, projection=PROJECTION):
    """Tensors of a small image transformer under OpenAI's names."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0, shift=0.0):
        return torch.randn(*shape, generator=draw) * scale + shift

    tensors = {
        "class_embedding": normal(width),
        "positional_embedding": normal(GRID * GRID + 1, width),
        "conv1.weight": normal(width, 3, PATCH, PATCH, scale=0.1),
        "proj": normal(width, projection, scale=width**-0.5),
    }
    for name in ("ln_pre", "ln_post"):
        tensors[f"{name}.weight"] = normal(width, scale=0.2, shift=1.0)
        tensors[f"{name}.bias"] = normal(width, scale=0.2)
    for layer in range(LAYERS):
        block = f"transformer.resblocks.{layer}."
        shapes = {
            "attn.in_proj_weight": (3 * width, width),
            "attn.out_proj.weight": (width, width),
            "mlp.c_fc.weight": (4 * width, width),
            "mlp.c_proj.weight": (width, 4 * width),
        }
        for name, shape in shapes.items():
            tensors[block + name] = normal(*shape, scale=2 * shape[1] ** -0.5)
            bias = name.replace("in_proj_weight", "in_proj_bias").replace(".weight", ".bias")
            tensors[block + bias] = normal(shape[0], scale=0.2)
        for name in ("ln_1", "ln_2"):
            tensors[f"{block}{name}.weight"] = normal(width, scale=0.2, shift=1.0)
            tensors[f"{block}{name}.bias"] = normal(width, scale=0.2)
    return tensors


def checkpoint(tensors):
    """Return them as ViFi-CLIP saves them, with what else its checkpoints hold."""
    model = {f"module.image_encoder.{name}": tensor for name, tensor in tensors.items()}
    model["module.prompt_learner.complete_text_embeddings"] = torch.zeros(4, 77, 8)
    model["module.text_encoder.ln_final.weight"] = torch.zeros(8)
    model["module.logit_scale"] = torch.tensor(4.6)
    return {"model": model, "optimizer": {"state": {}, "param_groups": []}, "epoch": 9}


def normalised(x, tensors, name):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * tensors[f"{name}.weight"] + tensors[
        f"{name}.bias"
    ]


def attention(x, tensors, block):
    count, places, width = x.shape
    heads = width // 64
    qkv = x @ tensors[block + "attn.in_proj_weight"].T + tensors[block + "attn.in_proj_bias"]
    q, k, v = (
        part.reshape(count, places, heads, 64).permute(0, 2, 1, 3) for part in qkv.split(width, -1)
    )
    weights = (q @ k.transpose(-1, -2) / math.sqrt(64)).softmax(-1)
    mixed = (weights @ v).permute(0, 2, 1, 3).reshape(count, places, width)
    return mixed @ tensors[block + "attn.out_proj.weight"].T + tensors[block + "attn.out_proj.bias"]


def embed(tensors, pixels):
    """Return the projected embedding (N, projection) of float (N, 3, IMAGE, IMAGE)."""
    width = tensors["class_embedding"].shape[0]
    patches = pixels.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)  # N, 3, gy, gx, py, px
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(len(pixels), GRID * GRID, -1)
    x = patches @ tensors["conv1.weight"].reshape(width, -1).T
    x = torch.cat([tensors["class_embedding"].expand(len(pixels), 1, -1), x], 1)
    x = normalised(x + tensors["positional_embedding"], tensors, "ln_pre")
    for layer in range(LAYERS):
        block = f"transformer.resblocks.{layer}."
        x = x + attention(normalised(x, tensors, block + "ln_1"), tensors, block)
        y = normalised(x, tensors, block + "ln_2")
        y = y @ tensors[block + "mlp.c_fc.weight"].T + tensors[block + "mlp.c_fc.bias"]
        y = y * torch.sigmoid(1.702 * y)
        x = x + y @ tensors[block + "mlp.c_proj.weight"].T + tensors[block + "mlp.c_proj.bias"]
    return normalised(x[:, 0], tensors, "ln_post") @ tensors["proj"]
