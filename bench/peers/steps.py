"""What training loops of the contender PyTorch have in common."""

import torch
from torch import nn


def averaged_step(network, optimiser, next_loss, clip, decay):
    """A training step with clipping and a moving average of the parameters: `next_loss()` is the loss of the next batch."""
    parameters = list(network.parameters())
    average = [parameter.detach().clone() for parameter in parameters]
    count = 0

    def step():
        nonlocal count
        count += 1
        optimiser.zero_grad()
        loss = next_loss()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, parameters, 1 - min(decay, (1 + count) / (10 + count)))
        return loss.item(), norm.item()

    return step


def load_checked(network, file, rename=lambda name: name):
    """Gives a network the weights that the bench wrote; returns what eidos made with them, to be compared."""
    from safetensors.torch import load_file

    tensors = load_file(file)
    check = {name.removeprefix("check."): tensors.pop(name) for name in list(tensors) if name.startswith("check.")}
    missing, superfluous = network.load_state_dict({rename(name): value for name, value in tensors.items()}, strict=False)
    if superfluous or set(missing) & {name for name, _ in network.named_parameters()}:
        raise RuntimeError(f"weights do not fit: {missing}, {superfluous}")
    return check


def compare(what, ours, theirs, tolerance=1e-4):
    """Refuses to go on where numbers differ from eidos's, relative to the largest of them where that is above 1."""
    if ours.shape != theirs.shape:
        raise RuntimeError(f"{what} are of shape {list(ours.shape)}, eidos's of {list(theirs.shape)}")
    difference = ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1)).item()
    if not difference <= tolerance:
        raise RuntimeError(f"{what} differ from eidos's by {difference}")
