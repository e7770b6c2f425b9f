"""The anchor-free YOLO for the contender PyTorch: network, assignment, losses and suppression of src/detection, eagerly.

Modules have the names that eidos gives its parameters, so that its weights fit.
"""

import copy
import math
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from steps import averaged_step, compare, load_checked

SIDE, CLASSES, PLACES, SCENES, BATCH = 320, 3, 64, 64, 8
STAGES = [(16, 32, 1), (32, 64, 2), (64, 96, 2), (96, 128, 1)]
STRIDES, NECK, BINS = (8, 16, 32), 64, 16
CANDIDATES, BOX_GAIN, CLASS_GAIN, DISTRIBUTION_GAIN = 10, 7.5, 0.5, 1.5
CONFIDENCE, OVERLAP, MOST = 0.05, 0.6, 100


class ConvBlock(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.silu(self.norm(self.conv(x)), inplace=True)


class Bottleneck(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = ConvBlock(channels, channels, 3), ConvBlock(channels, channels, 3)

    def forward(self, x):
        return x + self.conv2(self.conv1(x))


class CspBlock(nn.Module):
    def __init__(self, inputs, outputs, blocks):
        super().__init__()
        half = 16 * max(1, math.floor(outputs / 32 + 0.5))
        self.divide = ConvBlock(inputs, 2 * half, 1)
        self.blocks = nn.Sequential(*(Bottleneck(half) for _ in range(blocks)))
        self.merge = ConvBlock(2 * half, outputs, 1)

    def forward(self, x):
        past, through = self.divide(x).chunk(2, 1)
        return self.merge(torch.cat([past, self.blocks(through)], 1))


class Halving(nn.Module):
    """A stage of the backbone."""

    def __init__(self, inputs, outputs, blocks):
        super().__init__()
        self.reduce, self.block = ConvBlock(inputs, outputs, 3, 2), CspBlock(outputs, outputs, blocks)

    def forward(self, x):
        return self.block(self.reduce(x))


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = ConvBlock(3, STAGES[0][0], 3, 2)
        self.stages = nn.ModuleList(Halving(*stage) for stage in STAGES)

    def forward(self, x):
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class StepUp(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce, self.mix = ConvBlock(channels, channels, 3, 2), CspBlock(2 * channels, channels, 1)

    def forward(self, finer, own):
        return self.mix(torch.cat([self.reduce(finer), own], 1))


class Pan(nn.Module):
    def __init__(self):
        super().__init__()
        self.lateral = nn.ModuleList(ConvBlock(outputs, NECK, 1) for _, outputs, _ in STAGES[1:])
        self.down = nn.ModuleList(CspBlock(2 * NECK, NECK, 1) for _ in range(2))
        self.up = nn.ModuleList(StepUp(NECK) for _ in range(2))

    def forward(self, maps):
        own = [lateral(map) for lateral, map in zip(self.lateral, maps)]
        gathered = own[-1:]
        for i in (1, 0):
            coarser = F.interpolate(gathered[0], scale_factor=2, mode="nearest")
            gathered.insert(0, self.down[i](torch.cat([own[i], coarser], 1)))
        results = gathered[:1]
        for step, map in zip(self.up, gathered[1:]):
            results.append(step(results[-1], map))
        return results


class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.neck = Backbone(), Pan()

    def forward(self, x):
        return self.neck(self.backbone(x / 255))


class Branch(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.blocks = nn.Sequential(ConvBlock(NECK, NECK, 3), ConvBlock(NECK, NECK, 3))
        self.output = nn.Conv2d(NECK, outputs, 1)

    def forward(self, x):
        return self.output(self.blocks(x)).flatten(2)


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.boxes = nn.ModuleList(Branch(4 * BINS) for _ in STRIDES)
        self.classes = nn.ModuleList(Branch(CLASSES) for _ in STRIDES)

    def forward(self, maps):
        said = lambda branches: torch.cat([branch(map) for branch, map in zip(branches, maps)], 2).transpose(1, 2)
        return said(self.boxes).unflatten(2, (4, BINS)), said(self.classes)


class Yolo(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.head = Features(), Head()
        centres, strides = [], []
        for stride in STRIDES:
            at = (torch.arange(SIDE // stride) + 0.5) * stride
            y, x = torch.meshgrid(at, at, indexing="ij")
            centres.append(torch.stack([x, y], -1).view(-1, 2))
            strides.append(torch.full((len(centres[-1]), 1), float(stride)))
        self.register_buffer("centres", torch.cat(centres))
        self.register_buffer("strides", torch.cat(strides))
        self.register_buffer("bins", torch.arange(BINS).float())

    def forward(self, x):
        """Logits of distances [n, k, 4, bins] and of classes [n, k, classes], and boxes [n, k, 4]."""
        distances, classes = self.head(self.features(x))
        left_top, right_bottom = ((distances.softmax(3) @ self.bins) * self.strides).chunk(2, 2)
        return distances, classes, torch.cat([self.centres - left_top, self.centres + right_bottom], 2)


def areas(boxes):
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlap(a, b):
    """IoU of boxes that broadcast."""
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    shared = sides[..., 0] * sides[..., 1]
    return shared / (areas(a) + areas(b) - shared + 1e-7)


def complete_overlap(a, b):
    """CIoU of pairs of boxes [p, 4]."""
    iou = overlap(a, b)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    apart = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    distance = apart.square().sum(1) / (hull.square().sum(1) + 1e-7)
    angle = lambda boxes: ((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1] + 1e-7)).atan()
    v = (angle(b) - angle(a)).square() * (4 / math.pi**2)
    with torch.no_grad():
        alpha = v / (v - iou + 1 + 1e-7)
    return iou - distance - alpha * v


@torch.no_grad()
def align_tasks(scores, predicted, centres, strides, boxes, labels):
    """Task-aligned assignment: the row that each place answers for [n, k], how well it is aligned [n, k], and whether it does."""
    classes = labels.clamp(min=0)[:, None].expand(-1, scores.shape[1], -1)
    iou = overlap(predicted[:, None], boxes[:, :, None])
    alignment = scores.gather(2, classes).transpose(1, 2).sqrt() * iou.pow(6)
    offsets = (centres - ((boxes[..., :2] + boxes[..., 2:]) / 2)[:, :, None]).abs()
    reach = ((boxes[..., 2:] - boxes[..., :2]) / 2).clamp(min=strides.min() / 2)
    eligible = (offsets <= reach[:, :, None]).all(3) & (labels >= 0)[..., None]
    ranked = alignment.masked_fill(~eligible, -1)
    chosen = (ranked >= ranked.topk(CANDIDATES, 2).values[..., -1:]) & eligible
    best, owner = ((iou + 1) * chosen).max(1)
    own = chosen & (owner[:, None] == torch.arange(labels.shape[1])[:, None])
    aligned = alignment * own
    scale = (iou * own).amax(2, True) / aligned.amax(2, True).clamp(min=1e-30)
    return owner, (aligned * scale).sum(1), best > 0


def losses(network, x, boxes, labels):
    """Losses of boxes, classes and distributions. Those of boxes look at the places that answer for an object only."""
    distances, classes, predicted = network(x)
    owner, weights, positive = align_tasks(classes.sigmoid(), predicted, network.centres, network.strides, boxes, labels)
    norm, of_positive = weights.sum().clamp(min=1), weights[positive]
    goals = boxes.gather(1, owner[..., None].expand(-1, -1, 4))[positive]
    box = ((1 - complete_overlap(predicted[positive], goals)) * of_positive).sum() / norm

    place = positive.nonzero()[:, 1]
    centres, strides = network.centres[place], network.strides[place]
    edges = (torch.cat([centres - goals[:, :2], goals[:, 2:] - centres], 1) / strides).clamp(0, BINS - 1)
    below = edges.floor().clamp(max=BINS - 2)
    logits, low = distances[positive].view(-1, BINS), below.long().view(-1)
    entropy = lambda bin: F.cross_entropy(logits, bin, reduction="none").view(-1, 4)
    of_edges = entropy(low) * (below + 1 - edges) + entropy(low + 1) * (edges - below)
    distribution = (of_edges.mean(1) * of_positive).sum() / norm

    own = F.one_hot(labels.clamp(min=0).gather(1, owner), CLASSES) * weights[..., None]
    label = F.binary_cross_entropy_with_logits(classes, own, reduction="sum") / norm
    return BOX_GAIN * box, CLASS_GAIN * label, DISTRIBUTION_GAIN * distribution


def suppressed(boxes, scores, classes):
    """Non-maximum suppression by class without torchvision: which boxes stay, from the best down.

    A box stays where none that stays and is better overlaps it: repeated until nothing changes, this is the greedy choice.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes, classes = boxes[order], classes[order]
    clash = ((overlap(boxes[:, None], boxes[None]) > OVERLAP) & (classes[:, None] == classes[None])).triu(1)
    kept = torch.ones(len(boxes), dtype=torch.bool)
    while True:
        now = ~(clash & kept[:, None]).any(0)
        if torch.equal(now, kept):
            return order[kept]
        kept = now


def suppression():
    """torchvision's suppression where it is installed. Imported when needed: memory is measured with what is imported."""
    try:
        from torchvision.ops import batched_nms
    except ImportError:
        return suppressed
    return lambda boxes, scores, classes: batched_nms(boxes, scores, classes, OVERLAP)


def found(scores, boxes):
    """Detections of each image: boxes, scores and classes, from the best down."""
    results, suppress = [], suppression()
    for own_scores, own_boxes in zip(scores, boxes):
        place, label = (own_scores >= CONFIDENCE).nonzero(as_tuple=True)
        sure, all_boxes = own_scores[place, label], own_boxes[place]
        kept = suppress(all_boxes, sure, label)[:MOST]
        results.append((all_boxes[kept].clamp(0, SIDE), sure[kept], label[kept]))
    return results


def loaded():
    """The network with eidos's weights, after it has been seen to compute what eidos did."""
    network = Yolo()
    check = load_checked(network, os.environ["EIDOS_BENCH_YOLO"])
    network.eval()
    with torch.inference_mode():
        _, classes, boxes = network(check["x"])
        compare("boxes", boxes, check["decoded"])
        compare("scores", classes.sigmoid(), check["scores"])
        of_batch = losses(network, check["x"], check["boxes"], check["labels"])
        for name, loss in zip(("box", "class", "distribution"), of_batch):
            compare(f"{name} losses", loss, check[name])
        # Without their order, since equal scores need not be equal to the last bit.
        in_order = lambda boxes: boxes.sort(0).values
        own = torch.cat([own for own, _, _ in found(classes.sigmoid(), boxes)])
        compare("detections", in_order(own), in_order(check["found"]))
    # The faster layout of the two.
    return network.to(memory_format=torch.channels_last), check["x"]


def scenes():
    """Images of noise with 6 to 29 objects each: bytes, boxes and labels."""
    images = torch.randint(0, 256, (SCENES, 3, SIDE, SIDE), dtype=torch.uint8)
    sizes = 30 + 40 * torch.rand(SCENES, PLACES, 2)
    corners = torch.rand(SCENES, PLACES, 2) * (SIDE - sizes)
    empty = torch.arange(PLACES) >= torch.randint(6, 30, (SCENES, 1))
    boxes = torch.cat([corners, corners + sizes], 2).masked_fill(empty[..., None], 0)
    return images, boxes, torch.randint(0, CLASSES, (SCENES, PLACES)).masked_fill(empty, -1)


def training(batches):
    network, _ = loaded()
    network.train()
    images, boxes, labels = scenes()
    source = batches(images, BATCH, boxes, labels)

    def next_loss():
        x, some_boxes, some_labels = next(source)
        return sum(losses(network, x.float(), some_boxes, some_labels))

    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, (0.9, 0.99), weight_decay=0.05, fused=True)
    return network, averaged_step(network, optimiser, next_loss, clip=10.0, decay=0.99)


def detection(_):
    network, x = loaded()
    # As is usual before detection: normalisation goes into the convolutions.
    fused = copy.deepcopy(network)
    for block in [module for module in fused.modules() if isinstance(module, ConvBlock)]:
        block.conv, block.norm = fuse_conv_bn_eval(block.conv, block.norm), nn.Identity()

    @torch.inference_mode()
    def run():
        _, classes, boxes = fused(x)
        return [[part.numpy() for part in parts] for parts in found(classes.sigmoid(), boxes)]

    return network, run


DETECTION_WORKS = {"yolo-step": training, "yolo-inference": detection}
