import { Conditioning } from "../src/flows/densities/conditioning.ts";
import {
  BASES,
  Coupling,
  FlowModel,
  glowDefinition,
  glowOptions,
  ReluNetwork,
  type Transform,
} from "../src/flows/index.ts";
import {
  AffineBijection,
  MaskedAutoregressive,
  RationalQuadraticSpline,
} from "../src/flows/transforms/index.ts";
import type { DataInfo } from "../src/model/index.ts";
import { initialState, nameParameters, parameterCount } from "../src/nn/index.ts";
import { type NodeRuntimeOptions, nodeRuntime } from "../src/program/node.ts";
import { Session } from "../src/program/program.ts";
import { float32 } from "../src/tensor/index.ts";
import type { Prepared } from "./serve.ts";
import { FLOW_SIZES, IMAGE_SIZE, normals } from "./works.ts";

const { features, transforms, hidden, bins, bound, draws, batch } = FLOW_SIZES;

export const FLOW_ROWS: DataInfo = { kind: "table", sampleShape: [features] };
export const FLOW_IMAGES: DataInfo = { kind: "image", sampleShape: [1, IMAGE_SIZE, IMAGE_SIZE] };

/** What the peers must know to build the same Glow. */
export const GLOW_SHAPE = { levels: 2, flowSteps: 8, width: 64, logit: false } as const;

const forward = Array.from({ length: features }, (_, i) => i);

/** Autoregressive transforms with the order of the elements turned around from one to the next. */
function autoregressive(bijection: () => AffineBijection | RationalQuadraticSpline): readonly Transform[] {
  return Array.from({ length: transforms }, (_, i) => {
    const order = i % 2 === 0 ? forward : forward.toReversed();
    return new MaskedAutoregressive(features, bijection(), { hidden, order });
  });
}

function couplings(): readonly Transform[] {
  const half = features / 2;
  return Array.from({ length: transforms }, (_, i) => {
    const spline = new RationalQuadraticSpline({ bins, bound });
    const network = new ReluNetwork([half, ...hidden, spline.parameterCount * half]);
    return new Coupling([half, half], i % 2 === 0 ? "second" : "first", spline, network);
  });
}

const MAKERS = {
  maf: () => autoregressive(() => new AffineBijection()),
  "nsf-autoregressive": () => autoregressive(() => new RationalQuadraticSpline({ bins, bound })),
  "nsf-coupling": couplings,
} as const;

/** The flow of a work such as `maf-step`. */
export function benchFlow(work: string): FlowModel {
  if (work.startsWith("glow")) {
    return glowDefinition.build(glowOptions.parse(GLOW_SHAPE), FLOW_IMAGES) as FlowModel;
  }
  const make = Object.entries(MAKERS).find(([name]) => work.startsWith(name))?.[1];
  if (make === undefined) throw new Error(`${work} is no work of a flow`);
  const conditioning = new Conditioning({ conditional: false, given: [] }, FLOW_ROWS);
  return new FlowModel(FLOW_ROWS, { base: BASES.gaussian(), conditioning, transforms: make() });
}

/** Training steps of flows. */
export const FLOW_STEPS = ["maf-step", "nsf-coupling-step", "nsf-autoregressive-step", "glow-step"] as const;

async function opened(
  work: string,
  options: NodeRuntimeOptions,
): Promise<{ readonly flow: FlowModel; readonly session: Session }> {
  const flow = nameParameters(benchFlow(work));
  return { flow, session: new Session(await nodeRuntime(options), initialState(flow, 0)) };
}

/** Log-densities of a batch of rows. */
async function scoring(work: string, options: NodeRuntimeOptions): Promise<Prepared> {
  const { flow, session } = await opened(work, options);
  const logProb = session.compiled(flow, "logProb", ["x"], ({ x }) => ({
    logProb: flow.logProb(x),
  }));
  const feeds = { x: float32(normals(batch * features, work), [batch, features]) };
  const begun = performance.now();
  await logProb.run(feeds);
  return {
    seconds: (performance.now() - begun) / 1000,
    parameters: parameterCount(flow),
    run: () => logProb.run(feeds),
    release: () => session.release(),
  };
}

async function sampling(work: string, options: NodeRuntimeOptions): Promise<Prepared> {
  const { flow, session } = await opened(work, options);
  const begun = performance.now();
  await flow.sample(session, { count: draws, seed: 0 });
  return {
    seconds: (performance.now() - begun) / 1000,
    parameters: parameterCount(flow),
    run: () => flow.sample(session, { count: draws, seed: 0 }),
    release: () => session.release(),
  };
}

/** Works of flows that are no training steps. */
export function flowWorks(options: NodeRuntimeOptions): Readonly<Record<string, () => Promise<Prepared>>> {
  return {
    ...Object.fromEntries(
      Object.keys(MAKERS).map((name) => [`${name}-score`, () => scoring(`${name}-score`, options)]),
    ),
    "maf-sample": () => sampling("maf-sample", options),
  };
}
