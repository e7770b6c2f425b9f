"""Writes the weights that examples/pytorch-weights.ts reads:  python examples/pytorch/save.py"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 1))
x = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.5, 2.0]])
# What PyTorch computes travels along, to compare with.
expected = json.dumps({"x": x.flatten().tolist(), "y": model(x).flatten().tolist()})
save_file(model.state_dict(), pathlib.Path(__file__).parent / "mlp.safetensors", {"expected": expected})
