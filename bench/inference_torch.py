"""A network in PyTorch, eager or compiled, as a contestant of `inference.py`. It runs in a Python with PyTorch.

Its arguments are `eager` or `compiled`, the network's name, `--frames`, and files with frames. `u-net` is the plain U-Net of
`params.yaml`; its name is followed by the channels of each level. The others are common alternatives, each from its own package.
Weights are random.
"""

import io
import sys
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference_turns import HEIGHT, WIDTH, Frames, describe, take_turns


def normalised(frames: torch.Tensor) -> torch.Tensor:
    """Normalise grey levels."""
    return (frames - 60.0) / 40.0


def twice(given: int, filters: int) -> nn.Sequential:
    layers = []
    for channels in (given, filters):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """A U-Net with a stem of stride 2, levels with these channels, logits of 2x2 pixels, and a head for presence."""

    def __init__(self, *filters: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, filters[0], 3, 2, 1, bias=False), nn.BatchNorm2d(filters[0]), nn.ReLU())
        pairs = list(zip([filters[0], *filters[:-1]], filters, strict=True))
        self.down = nn.ModuleList(twice(*pair) for pair in pairs)
        self.up = nn.ModuleList(twice(a + b, a) for a, b in reversed(list(pairwise(filters))))
        self.logits = nn.Conv2d(filters[0], 4, 1)
        self.presence = nn.Linear(filters[-1], 1)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, skips = self.stem(normalised(frames)), []
        for level, down in enumerate(self.down):
            features = down(nn.functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        presence = self.presence(features.mean((2, 3)))
        for up, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            features = up(torch.cat([skip, nn.functional.interpolate(features, scale_factor=2.0)], 1))
        return torch.sigmoid(nn.functional.pixel_shuffle(self.logits(features), 2)), torch.sigmoid(presence)


class Peer(nn.Module):
    """A network of another package, with its logits converted to probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.sigmoid(self.network(normalised(frames))),)


def smp() -> Peer:
    import segmentation_models_pytorch

    return Peer(segmentation_models_pytorch.Unet("resnet34", encoder_weights=None, in_channels=1, classes=1))


def nnu_net() -> Peer:
    """Five stages, without deep supervision."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    network = PlainConvUNet(
        input_channels=1,
        n_stages=5,
        features_per_stage=(32, 64, 128, 256, 512),
        conv_op=nn.Conv2d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2, 2),
        n_conv_per_stage=(2, 2, 2, 2, 2),
        num_classes=1,
        n_conv_per_stage_decoder=(2, 2, 2, 2),
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return Peer(network)


def monai() -> Peer:
    """A residual U-Net with five levels."""
    from monai.networks.nets import UNet

    return Peer(UNet(2, 1, 1, channels=(32, 64, 128, 256, 512), strides=(2, 2, 2, 2), num_res_units=2))


NETWORKS = {"u-net": UNet, "smp": smp, "nnu-net": nnu_net, "monai": monai}


def saved(network: nn.Module) -> int:
    """Return the size of its weights in a file, in bytes."""
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.tell()


def main() -> None:
    mode, name, *channels = sys.argv[1 : sys.argv.index("--frames")]
    torch.manual_seed(0)
    network = NETWORKS[name](*map(int, channels)).eval().to(memory_format=torch.channels_last)
    # Compiled separately for one frame and for a batch: one program for any size is slower.
    run = torch.compile(network, dynamic=False) if mode == "compiled" else network

    def batch(frames: Frames) -> NDArray[np.float32]:
        with torch.inference_mode():
            return run(torch.from_numpy(frames[:, np.newaxis].astype(np.float32)))[0].numpy()

    def contour(file: bytes) -> object:
        frame = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE)
        probability = batch(cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[np.newaxis])[0, 0]
        mask = (cv2.resize(probability, frame.shape[::-1]) >= 0.5).astype(np.uint8)
        return cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)

    take_turns(batch, contour)
    describe(sum(weights.numel() for weights in network.parameters()), saved(network))


if __name__ == "__main__":
    main()
