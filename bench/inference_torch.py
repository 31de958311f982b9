"""The plain U-Net of `params.yaml` in PyTorch, eager or compiled, as a contestant of `inference.py`; run by a Python that has it.

It is given `eager` or `compiled`, the channels by level, `--frames`, and files with frames.
"""

import sys
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference_turns import HEIGHT, WIDTH, Frames, take_turns


def twice(given: int, filters: int) -> nn.Sequential:
    layers = []
    for channels in (given, filters):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """A stem of stride 2, levels of so many channels, logits of 2x2 pixels and a head for presence."""

    def __init__(self, filters: list[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, filters[0], 3, 2, 1, bias=False), nn.BatchNorm2d(filters[0]), nn.ReLU())
        pairs = list(zip([filters[0], *filters[:-1]], filters, strict=True))
        self.down = nn.ModuleList(twice(*pair) for pair in pairs)
        self.up = nn.ModuleList(twice(a + b, a) for a, b in reversed(list(pairwise(filters))))
        self.logits = nn.Conv2d(filters[0], 4, 1)
        self.presence = nn.Linear(filters[-1], 1)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, skips = self.stem((frames - 60.0) / 40.0), []
        for level, down in enumerate(self.down):
            features = down(nn.functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        presence = self.presence(features.mean((2, 3)))
        for up, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            features = up(torch.cat([skip, nn.functional.interpolate(features, scale_factor=2.0)], 1))
        return torch.sigmoid(nn.functional.pixel_shuffle(self.logits(features), 2)), torch.sigmoid(presence)


def main() -> None:
    mode, *words = sys.argv[1 : sys.argv.index("--frames")]
    torch.manual_seed(0)
    network = UNet([int(word) for word in words]).eval().to(memory_format=torch.channels_last)
    run = torch.compile(network) if mode == "compiled" else network

    def batch(frames: Frames) -> NDArray[np.float32]:
        with torch.inference_mode():
            return run(torch.from_numpy(frames[:, np.newaxis].astype(np.float32)))[0].numpy()

    def contour(file: bytes) -> object:
        frame = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE)
        probability = batch(cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[np.newaxis])[0, 0]
        mask = (cv2.resize(probability, frame.shape[::-1]) >= 0.5).astype(np.uint8)
        return cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)

    take_turns(batch, contour)


if __name__ == "__main__":
    main()
