"""MADE of bench/autoregressive-works.ts in PyTorch, sampled by a straightforward loop: a part of torch_peer.py."""

import torch
import torch.nn.functional as F
from torch import nn

VARIABLES, HIDDEN, BATCH, ROWS, DRAWS = 784, 500, 100, 4096, 1000


class MaskedLinear(nn.Linear):
    def __init__(self, mask):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


class Made(nn.Module):
    """One hidden layer, degrees spread evenly (Germain et al. 2015)."""

    def __init__(self):
        super().__init__()
        places = torch.arange(1, VARIABLES + 1)
        degrees = torch.arange(HIDDEN) * (VARIABLES - 1) // HIDDEN + 1
        self.input = MaskedLinear((degrees[:, None] >= places[None, :]).float())
        self.output = MaskedLinear((places[:, None] > degrees[None, :]).float())

    def forward(self, x):
        return self.output(F.relu(self.input(x)))


def training(made, batches):
    data = (torch.rand(ROWS, VARIABLES) < 0.2).float()
    optimiser = torch.optim.Adam(made.parameters(), 1e-3, fused=True)
    source = batches(data, BATCH)

    def step():
        (x,) = next(source)
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(made(x), x, reduction="sum") / BATCH
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def sampling(made):
    @torch.inference_mode()
    def run():
        x = torch.zeros(DRAWS, VARIABLES)
        for i in range(VARIABLES):
            x[:, i] = torch.bernoulli(torch.sigmoid(made(x)[:, i]))
        return x

    return run


def work(task):
    def make(batches):
        made = Made()
        return made, task(made, batches)

    return make


AUTOREGRESSIVE_WORKS = {"made-step": work(training), "made-sample": work(lambda made, _: sampling(made))}
