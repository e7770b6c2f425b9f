"""Greedy suppression by torchvision, for the contender PyTorch, of the boxes that the bench wrote."""

import os

from torch import nn

from steps import compare, load_checked

THRESHOLD = 0.5


def suppression(kind):
    def prepare(_):
        from torchvision.ops import nms

        network = nn.Module()
        check = load_checked(network, os.environ["EIDOS_BENCH_SUPPRESSION"])
        boxes, scores, kept = (check[f"{kind}.{name}"] for name in ("boxes", "scores", "kept"))
        compare("kept boxes", nms(boxes, scores, THRESHOLD).float(), kept)
        return network, lambda: nms(boxes, scores, THRESHOLD)

    return prepare


SUPPRESSION_WORKS = {f"suppression-{kind}": suppression(kind) for kind in ("crowded", "scattered")}
