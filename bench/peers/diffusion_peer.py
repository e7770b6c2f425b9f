"""DDPM for the contender PyTorch: a training step, and DDIM by the scheduler of diffusers with eidos's own weights."""

import os

import torch
import torch.nn.functional as F
from torch import nn

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
    from safetensors.torch import load_file

    tensors = load_file(os.environ["EIDOS_BENCH_DDPM"])
    check = {name.removeprefix("check."): tensors.pop(name) for name in list(tensors) if name.startswith("check.")}
    missing, superfluous = network.load_state_dict({peer_name(name): value for name, value in tensors.items()}, strict=False)
    if superfluous or set(missing) - {"condition.rates"}:
        raise RuntimeError(f"weights do not fit: {missing}, {superfluous}")
    with torch.inference_mode():
        y = network(check["x"], check["t"], check["label"])
    difference = (y - check["y"]).abs().max().item()
    if difference > 1e-4:
        raise RuntimeError(f"the U-Net differs from eidos's by {difference}")


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


def digits_step(network, batches, loss_of, batch=64, decay=0.99):
    """A training step on labelled digits, with clipping and a moving average: `loss_of(data, label)` is minimised."""
    images = torch.randint(0, 256, (IMAGES, 1, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8)
    labels = torch.arange(IMAGES) % CLASSES
    parameters = list(network.parameters())
    average = [parameter.detach().clone() for parameter in parameters]
    optimiser = torch.optim.Adam(parameters, 2e-3, fused=True)
    source = batches(images, batch, labels)
    count = 0

    def step():
        nonlocal count
        count += 1
        x, label = next(source)
        optimiser.zero_grad()
        loss = loss_of(x.float() / 127.5 - 1, torch.where(torch.rand(batch) < 0.1, CLASSES, label))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, parameters, 1 - min(decay, (1 + count) / (10 + count)))
        return loss.item(), norm.item()

    return step


def training(network, batches):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(STEPS, prediction_type="v_prediction")

    def loss(data, label):
        noise, timestep = torch.randn_like(data), torch.randint(0, STEPS, (len(data),))
        said = network(scheduler.add_noise(data, noise, timestep), (timestep + 1) / STEPS, label)
        return F.mse_loss(said, scheduler.get_velocity(data, noise, timestep))

    return digits_step(network, batches, loss)


DIFFUSION_WORKS = {"ddpm-step": training, "ddim-50": lambda network, _: sampling(network)}
