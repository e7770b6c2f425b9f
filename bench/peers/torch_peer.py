"""The contender PyTorch, eager: the networks, data shapes and loops of bench/eidos-works.ts, and those of its parts.
"""

import json
import math
import os

import torch
import torch.nn.functional as F
from torch import nn

from autoregressive_peer import AUTOREGRESSIVE_WORKS
from backbone_peer import BACKBONE_WORKS
from detection_peer import DETECTION_WORKS
from diffusion_peer import DIFFUSION_WORKS, digits_step
from latent_peer import LATENT_WORKS
from region_peer import REGION_WORKS
from representation_peer import REPRESENTATION_WORKS
from serve import serve
from suppression_peer import SUPPRESSION_WORKS

IMAGE_SIZE, CLASSES, ROWS, IMAGES = 28, 10, 4096, 1024
POSITIONS, WIDTH, SEQUENCES = 256, 256, 64


class Mlp(nn.Module):
    def __init__(self, sizes=(3, 256, 256, 256, 2)):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = layer(x if i == 0 else F.silu(x))
        return x


class Transformer(nn.Module):
    """Causal layers with normalization before their parts, fitted to ones."""

    def __init__(self):
        super().__init__()
        layer = lambda: nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.ModuleList(layer() for _ in range(4))
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(POSITIONS), persistent=False)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x, src_mask=self.mask, is_causal=True)
        return x


class ConvNet(nn.Module):
    def __init__(self, channels=(1, 32, 32, 32, 32, 32, 1)):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(channels, channels[1:]))

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = layer(x if i == 0 else F.silu(x))
        return x


class Condition(nn.Module):
    def __init__(self, features, size, classes):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(features, size), nn.Linear(size, size)
        self.classes = nn.Embedding(classes, size)
        half = features // 2
        self.register_buffer("rates", 1000 * 10_000 ** (-torch.arange(half) / half))

    def forward(self, t, label):
        angles = t[:, None] * self.rates
        features = torch.cat([angles.cos(), angles.sin()], -1)
        return self.fc2(F.silu(self.fc1(features))) + self.classes(label)


class Residual(nn.Module):
    def __init__(self, inputs, outputs, condition, groups=8):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.condition = nn.Linear(condition, 2 * outputs)
        self.norm2, self.conv2 = nn.GroupNorm(groups, outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x, condition):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.condition(F.silu(condition))[:, :, None, None].chunk(2, 1)
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class Attention(nn.Module):
    def __init__(self, channels, groups=8):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv, self.proj = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        h = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.proj(h.transpose(1, 2).reshape(x.shape))


class UNet(nn.Module):
    def __init__(self, channels, condition, features):
        super().__init__()
        size = condition
        self.condition = Condition(features, size, CLASSES + 1)
        self.input = nn.Conv2d(1, channels[0], 3, padding=1)
        before = [channels[0], *channels]
        self.down = nn.ModuleList(Residual(before[i], c, size) for i, c in enumerate(channels))
        low = channels[-1]
        self.block1, self.attention, self.block2 = Residual(low, low, size), Attention(low), Residual(low, low, size)
        self.up = nn.ModuleList(Residual(2 * c, c, size) for c in channels)
        self.enlarge = nn.ModuleList(nn.Conv2d(channels[i + 1], channels[i], 1) for i in range(len(channels) - 1))
        self.norm, self.output = nn.GroupNorm(8, channels[0]), nn.Conv2d(channels[0], 1, 3, padding=1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x, t, label):
        condition = self.condition(t, label)
        h, skips = self.input(x), []
        for i, block in enumerate(self.down):
            h = block(h if i == 0 else F.avg_pool2d(h, 2), condition)
            skips.append(h)
        h = self.block2(self.attention(self.block1(h, condition)), condition)
        for i in reversed(range(len(self.up))):
            h = self.up[i](torch.cat([h, skips.pop()], 1), condition)
            if i > 0:
                h = F.interpolate(self.enlarge[i - 1](h), scale_factor=2, mode="nearest")
        return self.output(F.silu(self.norm(h)))


def batches(data, size, *others):
    """Shuffled batches for ever, as a training loop takes them from tensors in memory."""
    while True:
        order = torch.randperm(len(data))
        for first in range(0, len(data) - size + 1, size):
            indices = order[first : first + size]
            yield tuple(tensor[indices] for tensor in (data, *others))


def regression_step(network, data, inputs, batch):
    optimiser = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    source = batches(data, batch)

    def step():
        (x,) = next(source)
        optimiser.zero_grad()
        loss = F.mse_loss(network(x[:, :inputs]), x[:, inputs:])
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def transformer_step(network):
    optimiser = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    source = batches(torch.randn(SEQUENCES, POSITIONS, WIDTH), 4)

    def step():
        (x,) = next(source)
        optimiser.zero_grad()
        output = network(x)
        loss = F.mse_loss(output, torch.ones_like(output))
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def flow_step(network):
    def loss(data, label):
        noise, t = torch.randn_like(data), torch.randn(len(data)).sigmoid()
        state = data + (noise - data) * t[:, None, None, None]
        return F.mse_loss(network(state, t, label), noise - data)

    return digits_step(network, batches, loss)


def velocity(network, batch=64):
    x, t, label = torch.randn(batch, 1, IMAGE_SIZE, IMAGE_SIZE), torch.full((batch,), 0.5), torch.arange(batch) % CLASSES

    @torch.inference_mode()
    def run():
        return network(x, t, label)

    return run


def generation(network, count=64, steps=25):
    @torch.inference_mode()
    def run():
        x, label = torch.randn(count, 1, IMAGE_SIZE, IMAGE_SIZE), torch.randint(0, CLASSES, (count,))
        at = lambda state, time: network(state, torch.full((count,), time), label)
        for i in range(steps):
            time, after = 1 - i / steps, 1 - (i + 1) / steps
            first = at(x, time)
            second = at(x + (after - time) * first, after)
            x = x + (after - time) / 2 * (first + second)
        return x

    return run


OTHERS = {
    **AUTOREGRESSIVE_WORKS,
    **LATENT_WORKS,
    **DETECTION_WORKS,
    **REGION_WORKS,
    **REPRESENTATION_WORKS,
    **BACKBONE_WORKS,
    **SUPPRESSION_WORKS,
}


def make(work):
    if work in OTHERS:
        return OTHERS[work](batches)
    if work == "mlp-step":
        network = Mlp()
        return network, regression_step(network, torch.randn(ROWS, 5), 3, 256)
    if work == "large-mlp-step":
        network = Mlp((784, 1024, 1024, 10))
        return network, regression_step(network, torch.randn(ROWS, 794), 784, 128)
    if work == "transformer-step":
        network = Transformer()
        return network, transformer_step(network)
    if work == "conv-step":
        network = ConvNet()
        return network, regression_step(network, torch.randn(IMAGES, 2, IMAGE_SIZE, IMAGE_SIZE), 1, 64)
    network = UNet(**json.loads(os.environ["EIDOS_BENCH_UNET"]))
    if work == "unet-step":
        return network, flow_step(network)
    if work in DIFFUSION_WORKS:
        return network, DIFFUSION_WORKS[work](network, batches)
    return network, velocity(network) if work == "unet-inference" else generation(network)


works = ["mlp-step", "large-mlp-step", "transformer-step", "conv-step", "unet-step", "unet-inference", "unet-generation", *DIFFUSION_WORKS, *OTHERS]
serve(torch.__version__, works, make)
