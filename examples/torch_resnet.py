"""Train a small ResNet on drawn shapes with PyTorch, then explain one of its decisions: `python torch_resnet.py`."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import ddcam
from ddcam.adapters.torch import load

NAMES = ("disc", "square", "cross", "ring")
SIZE = 64


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures `[count, SIZE, SIZE, 3]` of one coloured shape each on noise, and its class `[count]`."""
    random = np.random.default_rng(seed)
    pictures = random.normal(110, 25, (count, SIZE, SIZE, 3))
    classes = random.integers(0, len(NAMES), count)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for picture, kind in zip(pictures, classes, strict=True):
        radius = random.integers(8, 13)
        top, left = random.integers(radius, SIZE - radius, 2)
        down, right = abs(rows - top), abs(columns - left)
        distance, longer, shorter = np.hypot(down, right), np.maximum(down, right), np.minimum(down, right)
        shape = (
            distance < radius,
            longer < radius * 0.85,
            (shorter < radius * 0.3) & (longer < radius),
            (distance < radius) & (distance > radius * 0.6),
        )[kind]
        picture[shape] = random.choice([40, 215], 3) + random.normal(0, 15, (shape.sum(), 3))
    return pictures.clip(0, 255).astype(np.uint8), classes


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        around = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.around = nn.Identity() if (before, stride) == (after, 1) else around

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.around(x))


class ResNet(nn.Module):
    """ResNet-18 with an eighth of its channels, and strides for small pictures."""

    def __init__(self, classes: int, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.layer1 = nn.Sequential(Block(width, width, 1), Block(width, width, 1))
        self.layer2 = nn.Sequential(Block(width, 2 * width, 2), Block(2 * width, 2 * width, 1))
        self.layer3 = nn.Sequential(Block(2 * width, 4 * width, 2), Block(4 * width, 4 * width, 1))
        self.layer4 = nn.Sequential(Block(4 * width, 8 * width, 1), Block(8 * width, 8 * width, 1))
        self.classify = nn.Linear(8 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return self.classify(features.mean((2, 3)))


def as_input(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def train(net: nn.Module, pictures: np.ndarray, classes: np.ndarray, epochs: int) -> None:
    inputs, targets = as_input(pictures), torch.from_numpy(classes)
    steps = epochs * len(inputs.split(32))
    optimizer = torch.optim.AdamW(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    net.train()
    for epoch in range(epochs):
        for batch in torch.randperm(len(inputs)).split(32):
            loss = functional.cross_entropy(net(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.3f}")


def accuracy(net: nn.Module, pictures: np.ndarray, classes: np.ndarray) -> float:
    net.eval()
    with torch.no_grad():
        return float((net(as_input(pictures)).argmax(1).numpy() == classes).mean())


torch.manual_seed(0)
net = ResNet(len(NAMES))
train(net, *draw(1000, seed=0), epochs=4)
pictures, classes = draw(200, seed=1)
print(f"accuracy on {len(pictures)} new pictures: {accuracy(net, pictures, classes):.1%}")

explanation = ddcam.explain(
    load(net, (3, SIZE, SIZE), labels=NAMES, preprocessing="symmetric"),
    next(ddcam.open_images(pictures[0])),
    preserve="confidence:0.9",
)
print(f"{explanation}\n{explanation.text}")
ddcam.save(explanation, "torch_resnet.ddcam", replace=True)
