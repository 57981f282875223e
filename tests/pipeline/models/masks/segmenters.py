"""Small segmentation models of random weights, saved as the library saves real ones."""

import json

import torch
from transformers import (
    DetrConfig,
    DetrForSegmentation,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    ResNetConfig,
    SwinConfig,
)

CLASSES = {0: "person", 1: "bicycle", 2: "car"}


def _labels():
    return {"id2label": CLASSES, "label2id": {name: i for i, name in CLASSES.items()}}


def _swin():
    return SwinConfig(
        image_size=64,
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def _mask2former():
    config = Mask2FormerConfig(
        backbone_config=_swin(),
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=32,
        encoder_feedforward_dim=32,
        num_queries=5,
        **_labels(),
    )
    return Mask2FormerForUniversalSegmentation(config), "Mask2FormerImageProcessor"


def _detr():
    backbone = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=1,  # untrained queries are alike and would share every pixel
        **_labels(),
    )
    model = DetrForSegmentation(config)
    model.detr.class_labels_classifier.bias.data[0] = 3.0  # sure of a person
    return model, "DetrImageProcessor"


def _maskformer():
    decoder = DetrConfig(
        use_timm_backbone=False,
        backbone_config=ResNetConfig(embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4),
        d_model=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        num_queries=5,
    )
    config = MaskFormerConfig(
        backbone_config=_swin(),
        decoder_config=decoder.to_dict(),
        fpn_feature_size=32,
        mask_feature_size=32,
        **_labels(),
    )
    return MaskFormerForInstanceSegmentation(config), "MaskFormerImageProcessor"


MAKERS = {"mask2former": _mask2former, "detr": _detr, "maskformer": _maskformer}


def save(kind, folder):
    """Save a small model of a kind with its processor; return the folder."""
    torch.manual_seed(3)
    model, processor = MAKERS[kind]()
    model.save_pretrained(folder)
    size = (
        {"shortest_edge": 64, "longest_edge": 64} if kind == "detr" else {"height": 64, "width": 64}
    )
    content = {
        "image_processor_type": processor,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 2,
        "size": size,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder
