import type { Purpose } from "../model/definition.ts";

// Written by scripts/model-list.ts from the catalogue.

/** A model as it is listed. */
export interface ListedModel {
  readonly name: string;
  readonly purpose?: Purpose;
  readonly summary: string;
  readonly dataKinds: readonly string[];
}

// biome-ignore format: one line a model
export const MODEL_LIST: readonly ListedModel[] = [
  {"name":"rectified-flow","purpose":"draw","summary":"a velocity field along straight lines from noise to data, integrated to draw samples","dataKinds":["points","image","table"]},
  {"name":"ddpm","purpose":"draw","summary":"a chain of small steps from data to noise, undone step by step; also for DDIM","dataKinds":["points","image","table"]},
  {"name":"score-sde","purpose":"draw","summary":"the score of noisy data in continuous time, for stochastic and deterministic samplers","dataKinds":["points","image","table"]},
  {"name":"edm","purpose":"draw","summary":"a preconditioned denoiser at all noise levels, sampled by few steps of Heun's method","dataKinds":["points","image","table"]},
  {"name":"distilled-flow","purpose":"draw","summary":"a flow distilled to one step from noise to data, fitted to pairs that eidos distill draws","dataKinds":["points","image","table"]},
  {"name":"rectified-transport","purpose":"draw","summary":"a rectified flow from one data set (--source) to another, and back: digits 1 to digits 7","dataKinds":["points","image"]},
  {"name":"nice","purpose":"score","summary":"flow of additive couplings: exact log-likelihoods, sampling by inversion","dataKinds":["points","image","table"]},
  {"name":"planar","purpose":"score","summary":"flow of planar maps, fitted to samples or as a variational posterior to an energy","dataKinds":["points","table"]},
  {"name":"radial","purpose":"score","summary":"flow of radial maps, fitted to samples or as a variational posterior to an energy","dataKinds":["points","table"]},
  {"name":"real-nvp","purpose":"score","summary":"flow of affine couplings, multi-scale for images","dataKinds":["points","image","table"]},
  {"name":"glow","purpose":"score","summary":"multi-scale flow of actnorm, invertible 1×1 convolutions and affine couplings","dataKinds":["points","image","table"]},
  {"name":"flow-plus-plus","purpose":"score","summary":"flow of mixture-of-logistics couplings, with variational dequantization of images","dataKinds":["points","image","table"]},
  {"name":"maf","purpose":"score","summary":"masked autoregressive flow: strong densities in one pass, sampling element by element","dataKinds":["points","image","table"]},
  {"name":"iaf","purpose":"score","summary":"inverse autoregressive flow: sampling in one pass, density element by element","dataKinds":["points","table"]},
  {"name":"spline-flow","purpose":"score","summary":"neural spline flow: rational-quadratic splines in couplings or autoregressively; angles too","dataKinds":["points","table"]},
  {"name":"continuous-flow","purpose":"score","summary":"a velocity field from data to noise with exact likelihoods, integrated like a differential equation","dataKinds":["points","table"]},
  {"name":"fvsbn","purpose":"score","summary":"fully visible sigmoid belief network: a logistic regression of each element on those before it","dataKinds":["binary"]},
  {"name":"nade","purpose":"score","summary":"neural autoregressive distribution estimator: one hidden layer for each element, all sharing their weights","dataKinds":["binary"]},
  {"name":"made","purpose":"score","summary":"masked autoencoder: all conditionals in one pass of a perceptron, one mask or an average of several","dataKinds":["binary"]},
  {"name":"pixel-cnn","purpose":"score","summary":"gated PixelCNN: images pixel by pixel, exact log-probabilities of zeros and ones or of bytes","dataKinds":["binary","image"]},
  {"name":"causal-transformer","purpose":"score","summary":"decoder-only Transformer over the variables: exact log-probabilities of zeros and ones","dataKinds":["binary"]},
  {"name":"vae","purpose":"draw","summary":"variational autoencoder: short codes, samples at once, a lower bound on the log-likelihood","dataKinds":["points","image","table","binary"]},
  {"name":"gan","purpose":"draw","summary":"a generator and a discriminator that learn from each other: samples at once, no likelihood","dataKinds":["points","image","table"]},
  {"name":"classifier","purpose":"embed","summary":"classifier of images: a backbone and a linear layer; the measure of features learnt without labels","dataKinds":["image"]},
  {"name":"deep-infomax","purpose":"embed","summary":"features without labels: a code that shares information with every part of its image","dataKinds":["image","binary","table","points"]},
  {"name":"simclr","purpose":"embed","summary":"SimCLR: features by telling two views of a sample from views of all others","dataKinds":["image","binary","table","points"]},
  {"name":"vicreg","purpose":"embed","summary":"VICReg: features by equal codes of two views, whose numbers vary and do not correlate","dataKinds":["image","binary","table","points"]},
  {"name":"barlow-twins","purpose":"embed","summary":"Barlow Twins: features of two views whose cross-correlation is the identity","dataKinds":["image","binary","table","points"]},
  {"name":"autoencoder","purpose":"embed","summary":"autoencoder: features from which a sample can be made again; denoising and masked as well","dataKinds":["image","binary","table","points"]},
  {"name":"rotation","purpose":"embed","summary":"features by predicting which way up an image was turned","dataKinds":["image","binary"]},
  {"name":"yolo","purpose":"find","summary":"an anchor-free YOLO: decoupled head, task-aligned assignment, CIoU and distribution focal loss","dataKinds":["detection"]},
  {"name":"fcos","purpose":"find","summary":"each location of a feature pyramid predicts class, distances to the edges and center-ness; no anchors","dataKinds":["detection"]},
  {"name":"center-net","purpose":"find","summary":"objects are peaks of a heat map, with offset and size read off there; no anchors, no suppression","dataKinds":["detection"]},
  {"name":"retina-net","purpose":"find","summary":"anchors of several shapes at each location of a feature pyramid, with focal loss","dataKinds":["detection"]},
  {"name":"yolo-v1","purpose":"find","summary":"the first YOLO: a coarse grid whose cell with an object's center is assigned to it, one squared loss","dataKinds":["detection"]},
  {"name":"yolo-v3","purpose":"find","summary":"YOLOv2 and v3: anchors from the training boxes, objectness, heads on maps of three strides","dataKinds":["detection"]},
  {"name":"faster-rcnn","purpose":"find","summary":"a network proposes regions, and a second stage classifies each and refines its box","dataKinds":["detection"]},
  {"name":"sliding-window","purpose":"find","summary":"a classifier of windows at every place and scale of an image pyramid, as before deep detectors: a baseline","dataKinds":["detection"]},
  {"name":"yunet","purpose":"find","summary":"a face detector of 74,000 parameters without anchors, with landmarks of imported weights","dataKinds":["detection"]},
  {"name":"ultra-light-rfb","purpose":"find","summary":"a face detector of 270,000 parameters: SSD with a receptive field block, for images of 320 pixels","dataKinds":["detection"]},
  {"name":"mtcnn","purpose":"find","summary":"a cascade of three small networks over an image pyramid, with landmarks: finds faces, or small objects of one class","dataKinds":["detection"]},
];
