"""Encoders without labels for the contender PyTorch: the networks and losses of Deep InfoMax and SimCLR for digits, as eidos fits them by default.

Names of parameters are those of eidos. test/fixtures/representation/networks.py writes losses and gradients of these networks, which a test of eidos compares
with its own."""

import math

import torch
import torch.nn.functional as F
from torch import nn

SIDE, IMAGES = 28, 1024


class Block(nn.Module):
    def __init__(self, layer, norm):
        super().__init__()
        self.layer, self.norm = layer, norm

    def forward(self, x):
        return F.relu(self.norm(self.layer(x)), inplace=True)


class Encoder(nn.Module):
    """Two convolutions of 4×4 with a stride of 2, the second of which makes the local features, a hidden layer and the code."""

    def __init__(self, side=SIDE, channels=32, hidden=512, code_size=64):
        super().__init__()
        inner = [1, channels, 2 * channels]
        self.conv = nn.ModuleList(
            Block(nn.Conv2d(inner[i], inner[i + 1], 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(inner[i + 1]))
            for i in range(2)
        )
        flat = 2 * channels * (side // 4) ** 2
        self.fc = Block(nn.Linear(flat, hidden, bias=False), nn.BatchNorm1d(hidden))
        self.code = nn.Linear(hidden, code_size)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x):
        local = self.conv[1](self.conv[0](x.float() / 127.5 - 1))
        return local, self.code(self.fc(local.flatten(1)))


class Shortcut(nn.Module):
    def __init__(self, inputs, units):
        super().__init__()
        self.hidden, self.output = nn.Linear(inputs, units), nn.Linear(units, units)
        self.shortcut = nn.Linear(inputs, units, bias=False)

    def forward(self, x):
        return self.output(F.relu(self.hidden(x), inplace=True)) + self.shortcut(x)


class Scorer(nn.Module):
    """Encode and dot-product: scores of all codes with all locations of all images."""

    def __init__(self, part_size, code_size, units):
        super().__init__()
        self.part, self.partNorm, self.code = Shortcut(part_size, units), nn.LayerNorm(units), Shortcut(code_size, units)
        self.units = units

    def forward(self, local, codes):
        images = len(codes)
        parts = local.flatten(2).transpose(1, 2)
        embedded = self.partNorm(self.part(parts)).reshape(-1, self.units)
        return (self.code(codes) / math.sqrt(self.units) @ embedded.T).view(images, images, -1)


class Discriminator(nn.Module):
    def __init__(self, code_size, units):
        super().__init__()
        sizes = [code_size, units, units, 1]
        self.network = nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(sizes[i], sizes[i + 1]) for i in range(3))})

    def forward(self, x):
        first, second, last = self.network["layers"]
        return last(F.leaky_relu(second(F.leaky_relu(first(x), 0.2)), 0.2)).squeeze(1)


def infonce(scores):
    """Hjelm et al. 2019, equation 5: each code with the locations of its own image against those of all others."""
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    others = scores.masked_fill(own[:, :, None], -1e30).flatten(1).logsumexp(1)
    return F.softplus(others[:, None] - scores.diagonal().T).mean()


class DeepInfoMax(nn.Module):
    """DIM(L) with InfoNCE and a uniform prior."""

    def __init__(self, side=SIDE, channels=32, hidden=512, code_size=64, scorer_units=128, prior_units=200):
        super().__init__()
        self.encoder = Encoder(side, channels, hidden, code_size)
        self.localScorer = Scorer(2 * channels, code_size, scorer_units)
        self.discriminator = Discriminator(code_size, prior_units)

    def discriminator_loss(self, codes, draws):
        """With half the squared slope at draws of the prior (R1)."""
        draws.requires_grad_(True)
        logits = self.discriminator(draws)
        (slope,) = torch.autograd.grad(logits.sum(), draws, create_graph=True)
        game = F.softplus(-logits).mean() + F.softplus(self.discriminator(codes.sigmoid())).mean()
        return game + 0.5 * slope.square().sum(1).mean()

    def encoder_loss(self, local, codes):
        return infonce(self.localScorer(local, codes)) + 0.1 * F.softplus(-self.discriminator(codes.sigmoid())).mean()


class Projector(nn.Module):
    def __init__(self, inputs, width, outputs):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(inputs, width, bias=False), nn.Linear(width, outputs)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(width)])

    def forward(self, x):
        return self.layers[1](F.relu(self.norms[0](self.layers[0](x)), inplace=True))


class SimClr(nn.Module):
    def __init__(self, side=SIDE, channels=32, hidden=512, code_size=64, width=256, outputs=64):
        super().__init__()
        self.encoder = Encoder(side, channels, hidden, code_size)
        self.projector = Projector(code_size, width, outputs)

    def forward(self, a, b, temperature=0.5):
        """NT-Xent of two views (Chen et al. 2020, equation 1)."""
        _, codes = self.encoder(torch.cat([a, b]))
        z = F.normalize(self.projector(codes))
        scores = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -1e9)
        partners = torch.arange(len(z), device=z.device).roll(len(a))
        return F.cross_entropy(scores, partners)


def view(x, area=0.5, ratio=4 / 3, jitter=0.8, change=0.4):
    """Random parts of images as large as the images, bilinear, and other brightness and contrast: all images of a batch at once."""
    n, _, rows, columns = x.shape
    draw = lambda low, high: low + (high - low) * torch.rand(n)
    side, stretch = draw(area, 1).sqrt(), draw(-0.5 * math.log(ratio), 0.5 * math.log(ratio)).exp()
    height, width = (side / stretch).clamp(max=1), (side * stretch).clamp(max=1)
    # Centers of parts, where an image reaches from −1 to 1.
    middle_y, middle_x = (2 * torch.rand(n) - 1) * (1 - height), (2 * torch.rand(n) - 1) * (1 - width)
    zero = torch.zeros(n)
    affine = torch.stack([torch.stack([width, zero, middle_x], 1), torch.stack([zero, height, middle_y], 1)], 1)
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    part = F.grid_sample(x.float() / 255, grid, padding_mode="border", align_corners=False)
    chosen = torch.rand(n) < jitter
    factor = lambda: torch.where(chosen, draw(1 - change, 1 + change), 1.0)[:, None, None, None]
    part = (part * factor()).clamp(0, 1)
    contrast = factor()
    return (part * contrast + part.mean((1, 2, 3), keepdim=True) * (1 - contrast)).clamp(0, 1) * 255


def images():
    return torch.randint(0, 256, (IMAGES, 1, SIDE, SIDE), dtype=torch.uint8)


def adam(*modules):
    return torch.optim.Adam([p for module in modules for p in module.parameters()], 1e-3, fused=True)


def deep_infomax_step(batches, batch=64):
    model = DeepInfoMax()
    source = batches(images(), batch)
    of_discriminator, of_encoder = adam(model.discriminator), adam(model.encoder, model.localScorer)

    def step():
        (x,) = next(source)
        local, codes = model.encoder(x)
        model.discriminator.requires_grad_(True)
        of_discriminator.zero_grad()
        judged = model.discriminator_loss(codes.detach(), torch.rand(codes.shape))
        judged.backward()
        of_discriminator.step()
        # The encoder's turn needs no gradient of the discriminator's parameters.
        model.discriminator.requires_grad_(False)
        of_encoder.zero_grad()
        loss = model.encoder_loss(local, codes)
        loss.backward()
        of_encoder.step()
        return judged.item(), loss.item()

    return model, step


def simclr_step(batches, batch=256):
    model = SimClr()
    source = batches(images(), batch)
    optimiser = adam(model)

    def step():
        (x,) = next(source)
        optimiser.zero_grad()
        loss = model(view(x), view(x))
        loss.backward()
        optimiser.step()
        return loss.item()

    return model, step


REPRESENTATION_WORKS = {"deep-infomax-step": deep_infomax_step, "simclr-step": simclr_step}
