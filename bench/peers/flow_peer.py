"""The contenders zuko and nflows on PyTorch, eager: the flows, data shapes and loops of bench/flow-works.ts.

zuko makes the autoregressive flows, nflows the coupling flow and the parts of Glow; networks are those of eidos.
"""

import json
import os
from importlib.metadata import version

import torch
import torch.nn.functional as F
import zuko
from nflows.distributions import StandardNormal
from nflows.flows import Flow
from nflows.transforms import (
    ActNorm,
    AffineCouplingTransform,
    CompositeTransform,
    MultiscaleCompositeTransform,
    OneByOneConvolution,
    PiecewiseRationalQuadraticCouplingTransform,
    SqueezeTransform,
)
from torch import nn

from serve import serve

FEATURES, BATCH, ROWS, DRAWS = 16, 512, 4096, 1000
TRANSFORMS, HIDDEN, BINS, BOUND = 5, (128, 128), 8, 5.0
IMAGE_SIZE, IMAGES, IMAGE_BATCH = 28, 1024, 64


def mlp(inputs, outputs):
    sizes = (inputs, *HIDDEN, outputs)
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class RowConditioner(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.network = mlp(inputs, outputs)

    def forward(self, x, context=None):
        return self.network(x)


def coupling_spline_flow():
    half = torch.arange(FEATURES) >= FEATURES // 2
    transforms = []
    for i in range(TRANSFORMS):
        mask = (half if i % 2 == 0 else ~half).int()
        transforms.append(
            PiecewiseRationalQuadraticCouplingTransform(
                mask, RowConditioner, num_bins=BINS, tails="linear", tail_bound=BOUND
            )
        )
    return Flow(CompositeTransform(transforms), StandardNormal([FEATURES]))


def batches(data, size):
    """Shuffled batches for ever, as a training loop takes them from tensors in memory."""
    while True:
        order = torch.randperm(len(data))
        for first in range(0, len(data) - size + 1, size):
            yield data[order[first : first + size]]


def training(flow, data, batch, log_prob):
    optimiser = torch.optim.Adam(flow.parameters(), 1e-3, fused=True)
    source = batches(data, batch)

    def step():
        optimiser.zero_grad()
        loss = -log_prob(next(source)).mean()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def scoring(log_prob):
    x = torch.randn(BATCH, FEATURES)

    @torch.inference_mode()
    def run():
        return log_prob(x)

    return run


def sampling(flow):
    @torch.inference_mode()
    def run():
        return flow().sample((DRAWS,))

    return run


FLOWS = {
    "maf": lambda: zuko.flows.MAF(FEATURES, 0, transforms=TRANSFORMS, hidden_features=HIDDEN),
    "nsf-autoregressive": lambda: zuko.flows.NSF(
        FEATURES, 0, bins=BINS, transforms=TRANSFORMS, hidden_features=HIDDEN
    ),
    "nsf-coupling": coupling_spline_flow,
}


class NormalisedConv(nn.Module):
    """A convolution and one scale and bias a channel, as in Glow's networks."""

    def __init__(self, inputs, outputs, kernel):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.log_scale = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))

    def forward(self, x):
        return self.conv(x) * self.log_scale.exp() + self.bias


class ZeroConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.scale = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x, context=None):
        return self.conv(x) * (3 * self.scale).exp()


class GlowNetwork(nn.Module):
    def __init__(self, inputs, outputs, width):
        super().__init__()
        self.first, self.second = NormalisedConv(inputs, width, 3), NormalisedConv(width, width, 1)
        self.last = ZeroConv(width, outputs)

    def forward(self, x, context=None):
        return self.last(F.relu(self.second(F.relu(self.first(x)))))


def glow(levels, steps, width):
    """Glow of nflows' parts; the learned prior of the half that leaves a level is an affine coupling."""
    multi_scale = MultiscaleCompositeTransform(levels)
    channels, size = 1, IMAGE_SIZE
    for level in range(levels):
        channels, size = 4 * channels, size // 2
        mask = torch.arange(channels) >= channels // 2
        transforms = [SqueezeTransform()]
        for _ in range(steps):
            coupling = AffineCouplingTransform(mask.int(), lambda a, b: GlowNetwork(a, b, width))
            transforms += [ActNorm(channels), OneByOneConvolution(channels), coupling]
        if level < levels - 1:
            transforms.append(AffineCouplingTransform(mask.int(), ZeroConv))
        multi_scale.add_transform(CompositeTransform(transforms), (channels, size, size))
        channels = channels // 2
    return Flow(multi_scale, StandardNormal([IMAGE_SIZE**2]))


def glow_step():
    shape = json.loads(os.environ["EIDOS_BENCH_GLOW"])
    flow = glow(shape["levels"], shape["flowSteps"], shape["width"])
    images = torch.randint(0, 256, (IMAGES, 1, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8)
    dequantised = lambda x: (x.float() + torch.rand(x.shape)) / 256
    return flow, training(flow, images, IMAGE_BATCH, lambda x: flow.log_prob(dequantised(x)))


def make(work):
    if work == "glow-step":
        return glow_step()
    name, _, task = work.rpartition("-")
    flow = FLOWS[name]()
    log_prob = flow.log_prob if isinstance(flow, Flow) else lambda x: flow().log_prob(x)
    if task == "step":
        return flow, training(flow, torch.randn(ROWS, FEATURES), BATCH, log_prob)
    return flow, scoring(log_prob) if task == "score" else sampling(flow)


works = [f"{name}-{task}" for name in FLOWS for task in ("step", "score")] + ["maf-sample", "glow-step"]
serve(f"zuko {version('zuko')}, nflows {version('nflows')}, torch {torch.__version__}", works, make)
