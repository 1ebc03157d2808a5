"""Networks of torchvision and timm with random weights that make every gradient count, and their ONNX exports."""

import warnings
from pathlib import Path

import onnx
import torch

library = torch.library.Library("torchvision", "DEF")  # its extension has no CPU build; nothing here calls these
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

torch.backends.mha.set_fastpath_enabled(False)  # its operator cannot be exported

import timm  # noqa: E402
import torchvision  # noqa: E402

SIZES = {"inception_v3": 299}
"""Sides of the pictures that are not 224."""
NAMES = ["resnet18", "resnet50", "resnext50_32x4d", "vgg16", "alexnet", "densenet121", "inception_v3", "googlenet"]
NAMES += ["mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "shufflenet_v2_x1_0", "squeezenet1_0"]
NAMES += ["mnasnet1_0", "regnet_y_400mf", "convnext_tiny", "vit_b_16", "deit_tiny_patch16_224"]
NAMES += ["swin_t", "swin_v2_t", "maxvit_t"]
EXPORTERS = ("script", "dynamo")
LEAVES = {"inception_v3": {"init_weights": False}, "googlenet": {"init_weights": False, "aux_logits": False}}


def network(name: str) -> torch.nn.Module:
    """Make a network; statistics of normalisation and zero-initialised weights are drawn, or gradients are trivial."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(1)
    if name.startswith("deit"):
        net = timm.create_model(name, pretrained=False)
    else:
        net = torchvision.models.get_model(name, weights=None, **LEAVES.get(name, {}))
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=random)
            part.running_var.uniform_(0.75, 1.25, generator=random)
            part.weight.data.uniform_(0.8, 1.2, generator=random)
            part.bias.data.normal_(0, 0.1, generator=random)
    for label, weight in net.named_parameters():
        weight.requires_grad_(False)
        if "layer_scale" in label:
            weight.fill_(0.5)
        elif weight.ndim >= 2 and not weight.any():
            weight.normal_(0, 0.02, generator=random)
    return net.eval()


def pictures(name: str, count: int) -> torch.Tensor:
    side = SIZES.get(name, 224)
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(2))


def exported(name: str, net: torch.nn.Module, exporter: str, folder: Path, free: bool = True) -> onnx.ModelProto:
    """Export with a free batch, or of one picture; a file that is there already is read."""
    path = folder / f"{name}.{exporter}{'' if free else '.one'}.onnx"
    x = pictures(name, 2 if free else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not path.exists() and exporter == "script":
            axes = {"x": {0: "batch"}} if free else None
            torch.onnx.export(net, (x,), path, dynamo=False, opset_version=17, input_names=["x"], dynamic_axes=axes)
        elif not path.exists():
            shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if free else None
            torch.onnx.export(net, (x,), path, dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False)
    return onnx.load(path)
