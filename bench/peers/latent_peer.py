"""Latent-variable models for the contender PyTorch: the networks and loops of bench/latent-works.ts."""

import torch
import torch.nn.functional as F
from torch import nn

IMAGE_SIZE, IMAGES, BATCH = 28, 1024, 64


class Generator(nn.Module):
    """DCGAN's generator for 28×28: 7 → 14 → 28."""

    def __init__(self, latent, channels):
        super().__init__()
        self.channels = channels
        self.project = nn.Linear(latent, 2 * channels * 7 * 7, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(2 * channels), nn.BatchNorm2d(channels)
        self.up1 = nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1, bias=False)
        self.up2 = nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1)

    def forward(self, z):
        h = self.project(z).view(-1, 2 * self.channels, 7, 7)
        h = self.up1(F.relu(self.norm1(h), inplace=True))
        return torch.tanh(self.up2(F.relu(self.norm2(h), inplace=True)))


class Discriminator(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down1 = nn.Conv2d(1, channels, 4, stride=2, padding=1)
        self.down2 = nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1)
        self.output = nn.Linear(2 * channels * 7 * 7, 1)

    def forward(self, x):
        h = F.leaky_relu(self.down1(x), 0.2, inplace=True)
        h = F.leaky_relu(self.down2(h), 0.2, inplace=True)
        return self.output(h.flatten(1)).squeeze(1)


def dcgan_step(batches, latent=64, channels=64):
    generator, discriminator = Generator(latent, channels), Discriminator(channels)
    images = torch.randint(0, 256, (IMAGES, 1, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8)
    source = batches(images, BATCH)
    adam = lambda network: torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999), fused=True)
    of_generator, of_discriminator = adam(generator), adam(discriminator)

    def step():
        (x,) = next(source)
        real = x.float() / 127.5 - 1
        fake = generator(torch.randn(BATCH, latent))
        discriminator.requires_grad_(True)
        of_discriminator.zero_grad()
        judged = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
        judged.backward()
        of_discriminator.step()
        # The generator's turn needs no gradient of the discriminator's parameters.
        discriminator.requires_grad_(False)
        of_generator.zero_grad()
        made = F.softplus(-discriminator(fake)).mean()
        made.backward()
        of_generator.step()
        return judged.item(), made.item()

    return nn.ModuleList([generator, discriminator]), step


class ConvolutionalVae(nn.Module):
    """28 → 14 → 7, a code, and back; Bernoulli pixels."""

    def __init__(self, latent, channels, width):
        super().__init__()
        self.channels = channels
        self.down1 = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.hidden, self.encoded = nn.Linear(2 * channels * 49, width), nn.Linear(width, 2 * latent)
        self.start, self.project = nn.Linear(latent, width), nn.Linear(width, 2 * channels * 49)
        self.up1 = nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1)

    def loss(self, x):
        h = F.relu(self.down2(F.relu(self.down1(x), inplace=True)), inplace=True)
        mean, log_variance = self.encoded(F.relu(self.hidden(h.flatten(1)), inplace=True)).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        h = F.relu(self.project(F.relu(self.start(z), inplace=True)), inplace=True)
        h = F.relu(self.up1(h.view(-1, 2 * self.channels, 7, 7)), inplace=True)
        reconstruction = F.binary_cross_entropy_with_logits(self.up2(h), x, reduction="sum")
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return (reconstruction + divergence) / len(x)


def conv_vae_step(batches, latent=16, channels=32, width=128):
    vae = ConvolutionalVae(latent, channels, width)
    optimiser = torch.optim.Adam(vae.parameters(), 1e-3, fused=True)
    source = batches((torch.randn(IMAGES, 1, IMAGE_SIZE, IMAGE_SIZE) > 0.84).float(), BATCH)

    def step():
        (x,) = next(source)
        optimiser.zero_grad()
        loss = vae.loss(x)
        loss.backward()
        optimiser.step()
        return loss.item()

    return vae, step


LATENT_WORKS = {"dcgan-step": dcgan_step, "conv-vae-step": conv_vae_step}
