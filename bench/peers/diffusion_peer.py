"""DDPM for the contender PyTorch: a training step, and DDIM by the scheduler of diffusers with eidos's own weights."""

import os

import torch
import torch.nn.functional as F

from steps import averaged_step, compare, load_checked

IMAGE_SIZE, IMAGES, CLASSES, STEPS = 28, 1024, 10, 1000
PARTS = [(".blocks.0.residual.", "."), (".residual.", "."), ("block1.attention.", "attention."), ("network.", ""), ("middle.", "")]


def peer_name(name):
    """The name in the peer's U-Net of a parameter of eidos's."""
    if ".enlarge." in name:
        level, rest = name.removeprefix("network.up.").split(".enlarge.")
        return f"enlarge.{int(level) - 1}.{rest}"
    for part, other in PARTS:
        name = name.replace(part, other)
    return name


def load(network):
    """Gives a network the weights that the bench wrote, and sees that it computes what eidos did."""
    check = load_checked(network, os.environ["EIDOS_BENCH_DDPM"], peer_name)
    with torch.inference_mode():
        compare("the U-Net's outputs", network(check["x"], check["t"], check["label"]), check["y"])


def sampling(network, count=64, steps=50):
    from diffusers import DDIMScheduler

    load(network)
    scheduler = DDIMScheduler(STEPS, prediction_type="v_prediction", clip_sample=False)
    scheduler.set_timesteps(steps)

    @torch.inference_mode()
    def run():
        x, label = torch.randn(count, 1, IMAGE_SIZE, IMAGE_SIZE), torch.randint(0, CLASSES, (count,))
        for timestep in scheduler.timesteps:
            time = torch.full((count,), (timestep.item() + 1) / STEPS)
            x = scheduler.step(network(x, time, label), timestep, x).prev_sample
        return x

    return run


def digits_step(network, batches, loss_of, batch=64):
    """A training step on labelled digits, with clipping and a moving average: `loss_of(data, label)` is minimised."""
    images = torch.randint(0, 256, (IMAGES, 1, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8)
    source = batches(images, batch, torch.arange(IMAGES) % CLASSES)

    def next_loss():
        x, label = next(source)
        return loss_of(x.float() / 127.5 - 1, torch.where(torch.rand(batch) < 0.1, CLASSES, label))

    optimiser = torch.optim.Adam(network.parameters(), 2e-3, fused=True)
    return averaged_step(network, optimiser, next_loss, clip=1.0, decay=0.99)


def training(network, batches):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(STEPS, prediction_type="v_prediction")

    def loss(data, label):
        noise, timestep = torch.randn_like(data), torch.randint(0, STEPS, (len(data),))
        said = network(scheduler.add_noise(data, noise, timestep), (timestep + 1) / STEPS, label)
        return F.mse_loss(said, scheduler.get_velocity(data, noise, timestep))

    return digits_step(network, batches, loss)


DIFFUSION_WORKS = {"ddpm-step": training, "ddim-50": lambda network, _: sampling(network)}
