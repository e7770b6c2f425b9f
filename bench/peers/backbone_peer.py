"""Backbones for the contender PyTorch: the networks and loops of bench/backbone-works.ts, by torchvision."""

import torch
import torch.nn.functional as F
from torch import nn

try:
    import torchvision
except ImportError:
    torchvision = None

SIDE, SMALL_SIDE, PICTURES, BATCH, OUTPUTS = 160, 128, 64, 8, 10


class MobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        # Without the last 1×1 convolution.
        self.body = torchvision.models.mobilenet_v2().features[:-1]
        self.head = nn.Linear(320, OUTPUTS)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class ResNet(nn.Module):
    def __init__(self, frozen):
        super().__init__()
        self.body = torchvision.models.resnet18()
        self.body.fc = nn.Linear(512, OUTPUTS)
        body = self.body
        self.frozen = [body.conv1, body.bn1, body.layer1, body.layer2] if frozen else []
        for part in self.frozen:
            part.requires_grad_(False).eval()

    def forward(self, x):
        return self.body(x)


def step(network, batches, side=SIDE, batch=BATCH):
    # The faster layout of the two.
    network.to(memory_format=torch.channels_last)
    images = torch.randint(0, 256, (PICTURES, 3, side, side), dtype=torch.uint8)
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-3, fused=True)
    source = batches(images, batch)

    def run():
        (x,) = next(source)
        optimiser.zero_grad()
        output = network((x.float() / 255).contiguous(memory_format=torch.channels_last))
        loss = F.mse_loss(output, torch.ones_like(output))
        loss.backward()
        optimiser.step()
        return loss.item()

    return network, run


BACKBONE_WORKS = (
    {}
    if torchvision is None
    else {
        "mobilenet-step": lambda batches: step(MobileNet(), batches),
        "resnet-step": lambda batches: step(ResNet(frozen=False), batches),
        "resnet-4-step": lambda batches: step(ResNet(frozen=False), batches, SMALL_SIDE, 4),
        "resnet-16-step": lambda batches: step(ResNet(frozen=False), batches, SMALL_SIDE, 16),
        "resnet-frozen-step": lambda batches: step(ResNet(frozen=True), batches),
    }
)
