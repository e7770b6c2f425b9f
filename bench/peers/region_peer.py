"""torchvision's Faster R-CNN for the contender PyTorch, on the backbone and the pyramid that eidos has.

Proposals, RoIAlign, heads, samples and losses are torchvision's; parameters take the values of eidos's by their names here.
"""

import copy
import os
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from detection_peer import BATCH, CLASSES, NECK, SIDE, STAGES, STRIDES, Backbone, ConvBlock, scenes
from steps import averaged_step, compare, load_checked

RENAMED = {
    "features.": "backbone.",
    "head.rpn.conv.": "rpn.head.conv.0.0.",
    "head.rpn.objectness.": "rpn.head.cls_logits.",
    "head.rpn.deltas.": "rpn.head.bbox_pred.",
    "head.stages.0.fc": "roi_heads.box_head.fc",
    "head.stages.0.classes.": "roi_heads.box_predictor.cls_score.",
    "head.stages.0.deltas.": "roi_heads.box_predictor.bbox_pred.",
}
ANCHORS, REGIONS, CANDIDATES, PROPOSALS, HIDDEN, BINS = 256, 64, 300, 150, 256, 7


class Fpn(nn.Module):
    def __init__(self):
        super().__init__()
        self.lateral = nn.ModuleList(Linear(outputs) for _, outputs, _ in STAGES[1:])
        self.output = nn.ModuleList(ConvBlock(NECK, NECK, 3) for _ in STRIDES)

    def forward(self, maps):
        sums = [lateral(map) for lateral, map in zip(self.lateral, maps)]
        for i in (1, 0):
            sums[i] = sums[i] + F.interpolate(sums[i + 1], scale_factor=2, mode="nearest")
        return [output(map) for output, map in zip(self.output, sums)]


class Linear(ConvBlock):
    """A 1×1 convolution with normalisation and no activation."""

    def __init__(self, inputs):
        super().__init__(inputs, NECK, 1)

    def forward(self, x):
        return self.norm(self.conv(x))


class Features(nn.Module):
    out_channels = NECK

    def __init__(self):
        super().__init__()
        self.backbone, self.neck = Backbone(), Fpn()

    def forward(self, x):
        return OrderedDict((str(i), map) for i, map in enumerate(self.neck(self.backbone(x / 255))))


def network():
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.rpn import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    model = FasterRCNN(
        Features(),
        min_size=SIDE,
        max_size=SIDE,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(tuple((2 * s, 3 * s) for s in STRIDES), ((0.5, 1.0, 2.0),) * len(STRIDES)),
        rpn_pre_nms_top_n_train=CANDIDATES,
        rpn_pre_nms_top_n_test=CANDIDATES,
        rpn_post_nms_top_n_train=PROPOSALS,
        rpn_post_nms_top_n_test=PROPOSALS,
        rpn_batch_size_per_image=ANCHORS,
        box_roi_pool=MultiScaleRoIAlign([str(i) for i in range(len(STRIDES))], output_size=BINS, sampling_ratio=2),
        box_head=TwoMLPHead(NECK * BINS * BINS, HIDDEN),
        box_predictor=FastRCNNPredictor(HIDDEN, CLASSES + 1),
        box_batch_size_per_image=REGIONS,
        _skip_resize=True,
    )
    return model


def renamed(name):
    for ours, theirs in RENAMED.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def targets_of(boxes, labels):
    return [{"boxes": b[l >= 0], "labels": l[l >= 0] + 1} for b, l in zip(boxes, labels)]


def counting(sampler, counts):
    def sample(labels):
        positive, negative = sampler(labels)
        counts.append(sum(int(part.sum()) for part in positive + negative))
        return positive, negative

    return sample


def loaded():
    """The network with eidos's weights, after it has been seen to compute what eidos did."""
    from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

    model = network()
    check = load_checked(model, os.environ["EIDOS_BENCH_FASTER_RCNN"], renamed)
    model.eval()
    with torch.inference_mode():
        own = torch.cat([found["boxes"] for found in model(list(check["x"]))])
        # Without their order, since equal scores need not be equal to the last bit.
        compare("detections", own.sort(0).values, check["found"].sort(0).values)

        # Losses of all anchors and regions: nothing is drawn. Normalisation is as in detection on both sides.
        counts, everything = [], BalancedPositiveNegativeSampler(1_000_000, 0.5)
        stages = [model.rpn, model.roi_heads]
        samplers = [stage.fg_bg_sampler for stage in stages]
        for stage in stages:
            stage.fg_bg_sampler = counting(everything, counts)
        stages[0].training = stages[1].training = model.training = True
        losses = model(list(check["x"]), targets_of(check["boxes"], check["labels"]))
        stages[0].training = stages[1].training = model.training = False
        for stage, sampler in zip(stages, samplers):
            stage.fg_bg_sampler = sampler
    # eidos divides by the number of all rows, torchvision by that of those that count.
    anchors = BATCH * sum(6 * (SIDE // s) ** 2 for s in STRIDES)
    regions = BATCH * (PROPOSALS + check["boxes"].shape[1])
    for ours, theirs, factor in [
        ("objectness", "loss_objectness", counts[0] / anchors),
        ("proposal", "loss_rpn_box_reg", counts[0] / anchors),
        ("class", "loss_classifier", counts[1] / regions),
        ("box", "loss_box_reg", counts[1] / regions),
    ]:
        compare(f"{ours} losses", losses[theirs] * factor, check[ours])
    return model.to(memory_format=torch.channels_last), check["x"]


def training(batches):
    model, _ = loaded()
    model.train()
    images, boxes, labels = scenes()
    source = batches(images, BATCH, boxes, labels)

    def next_loss():
        x, some_boxes, some_labels = next(source)
        return sum(model(list(x.float()), targets_of(some_boxes, some_labels)).values())

    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, (0.9, 0.99), weight_decay=0.05, fused=True)
    return model, averaged_step(model, optimiser, next_loss, clip=10.0, decay=0.99)


def detection(_):
    model, x = loaded()
    # As is usual before detection: normalisation goes into the convolutions.
    fused = copy.deepcopy(model)
    for block in [module for module in fused.modules() if isinstance(module, ConvBlock)]:
        block.conv, block.norm = fuse_conv_bn_eval(block.conv, block.norm), nn.Identity()

    @torch.inference_mode()
    def run():
        return [{name: value.numpy() for name, value in found.items()} for found in fused(list(x))]

    return model, run


REGION_WORKS = {"faster-rcnn-step": training, "faster-rcnn-inference": detection}
