import type { Column } from "../../data/sources/columns.ts";
import { OptionError } from "../../errors.ts";
import type { ExportedAbility, ExportedPort } from "../../model/exported.ts";
import { type GraphValue, GraphWriter } from "../../program/graph-writer.ts";
import { exportOnnx, graphOf, type RandomInput } from "../../program/program.ts";
import type { Tensor } from "../../tensor/index.ts";
import type { RunConfig } from "../../train/run-config.ts";
import type { AbilityFile, ExportSubject, NetworkInput } from "./ability.ts";
import { columnPort, PortNames, ROWS } from "./column-ports.ts";
import { decodeColumns } from "./decode-graph.ts";
import { columnsOf } from "./row-abilities.node.ts";

// Samples of a model as a file: noise in, columns of a table in their own units or bytes of an image out.

/** Inputs of a graph of samples: noise, and the class where the model knows some. */
function noisePorts(
  randoms: readonly RandomInput[],
  named: readonly ExportedPort[],
  names: PortNames,
  stream: readonly string[] | undefined,
): readonly { readonly inside: string; readonly port: ExportedPort }[] {
  const drawn = randoms.map(({ name, distribution, shape }, i) => ({
    inside: name,
    port: {
      name: names.take(randoms.length === 1 ? "noise" : `noise${i + 1}`),
      type: "float32",
      shape: shape.map((size) => (size === "batch" ? ROWS : size)),
      what: distribution === "normal" ? "standard normal numbers" : "uniform numbers on [0, 1)",
      noise: distribution,
      ...(randoms.length === 1 && stream !== undefined && { stream }),
    } satisfies ExportedPort,
  }));
  return [
    ...drawn,
    ...named.map((port) => ({ inside: port.name, port: { ...port, name: names.take(port.name) } })),
  ];
}

/** Writes samples as outputs: columns in their own units, or bytes of images. */
function writeSamples(
  graph: GraphWriter,
  config: RunConfig,
  samples: GraphValue,
  names: PortNames,
): readonly ExportedPort[] {
  const columns = columnsOf(config);
  if (columns !== undefined) {
    return decodeColumns(columns, samples).map((value, i) => {
      const column = columns[i] as Column;
      const port = columnPort(column, names.take(column.name, `column_${i + 1}`), "output");
      graph.output(port.name, value, [ROWS]);
      return port;
    });
  }
  const [channels = 1, height = 1, width = 1] = config.dataInfo.sampleShape;
  const scaled = config.dataInfo.kind === "binary" ? samples.mul(255) : samples;
  // By way of whole numbers: what a float beyond a byte becomes is not the same on all machines.
  const bytes = scaled.rounded().maximum(0).minimum(255).cast("int64").cast("uint8");
  const port: ExportedPort = {
    name: names.take("image"),
    type: "uint8",
    shape: [ROWS, height, width, channels],
    what: `${channels === 1 ? "grey" : "RGB"} images of ${width} × ${height} pixels as bytes 0 … 255`,
  };
  graph.output(port.name, bytes.transpose(0, 2, 3, 1), port.shape);
  return [port];
}

/** Inputs by which steps of a sampler are run one by one; all of them by default. */
function stepInputs(graph: GraphWriter, count: number, names: PortNames) {
  const inputs = [
    {
      inside: "firstStep",
      otherwise: 0,
      what: "number of the first round that is run; after round 0, noise is the state",
    },
    { inside: "lastStep", otherwise: count, what: "rounds before this number are run, at least one" },
  ].map(({ inside, otherwise, what }) => {
    const shape = ["0 or 1"];
    const port: ExportedPort = {
      name: names.take(inside),
      type: "int64",
      shape,
      what,
      optional: true,
      default: otherwise,
    };
    const given = graph.input(port.name, "int64", shape);
    const value = graph
      .concat([given, graph.ints([otherwise])], 0)
      .gather(graph.ints([0]))
      .squeeze(0);
    return { port, feed: [inside, value] as const };
  });
  return { ports: inputs.map(({ port }) => port), feeds: Object.fromEntries(inputs.map(({ feed }) => feed)) };
}

/**
 * Samples as a file.
 * @param options of the model's sampler, where it takes steps
 * @throws OptionError where an option of a sampler is wrong, or its steps are not fixed
 */
export function sampleAbility(
  subject: ExportSubject,
  options: Readonly<Record<string, unknown>> | undefined,
): AbilityFile | { readonly why: string } | undefined {
  const { model, config, weights } = subject;
  if (model.sample === undefined) return undefined;
  const draws = model.exportedDraws?.();
  if (draws === undefined && model.exportedSampler === undefined) {
    return {
      why:
        Array.isArray(config.modelOptions.given) && config.modelOptions.given.length > 0
          ? "it draws under values of given columns"
          : `${config.model} draws a sample element by element, by a loop outside of a graph`,
    };
  }
  if (draws !== undefined && options !== undefined && Object.keys(options).length > 0) {
    throw new OptionError(
      `option ${Object.keys(options)[0]}: ${config.model} draws samples in one pass, exported as sample draws by default; leave it out`,
    );
  }
  const traced =
    draws === undefined
      ? model.exportedSampler?.(options ?? {}, true)
      : { outputs: { samples: draws.samples }, description: undefined };
  const { samples, state }: Readonly<Record<string, Tensor | undefined>> = traced?.outputs ?? {};
  const rounds = traced !== undefined && "steps" in traced ? traced.steps : undefined;
  if (samples === undefined) return { why: `${config.model} has no graph of its samples` };
  const { graph: parts, randoms } = graphOf(new Map([["samples", samples]]), weights);
  const network = exportOnnx({ samples, ...(state && { state }) }, weights);
  const inputs = [...parts.inputs].flatMap(([leaf, name]): ExportedPort[] => {
    if (randoms.some((random) => random.name === name)) return [];
    const shape = leaf.shape.map((size) => (size === "batch" ? ROWS : size));
    if (name === "label") {
      return [
        {
          name,
          type: "int64",
          shape,
          what: `number of the class of each sample; classes of model.json names them${draws === undefined ? "; as many as there are for any class" : ""}`,
          // Diffusion models know samples of no class in particular.
          ...(draws === undefined && { default: config.dataInfo.classes ?? 0 }),
        },
      ];
    }
    if (name === "firstStep" || name === "lastStep") return [];
    // As `sample` of diffusion models has it.
    const stream = name === "noise" ? ["noise"] : [];
    return [{ name, type: "float32", shape, what: "standard normal numbers", noise: "normal", stream }];
  });
  const written = (inner: Uint8Array) => {
    const graph = new GraphWriter();
    const names = new PortNames();
    const ports = noisePorts(randoms, inputs, names, draws?.stream);
    const stepped = rounds === undefined ? undefined : stepInputs(graph, rounds.count, names);
    const feeds = ports.map(({ inside, port }) => {
      // Where steps are run one by one, so many rows of their noise are given.
      const shape =
        stepped !== undefined && inside === "stepNoise" ? ["steps", ...port.shape.slice(1)] : port.shape;
      return [inside, graph.input(port.name, port.type, shape)] as const;
    });
    const made = graph.include(inner, { ...Object.fromEntries(feeds), ...stepped?.feeds });
    const outputs = [...writeSamples(graph, config, made.samples as GraphValue, names)];
    const nameOf = (inside: string): string | undefined =>
      ports.find((one) => one.inside === inside)?.port.name;
    let steps: ExportedAbility["steps"];
    if (stepped !== undefined && rounds !== undefined && made.state !== undefined) {
      const shape = [ROWS, ...config.dataInfo.sampleShape];
      const port: ExportedPort = {
        name: names.take("state"),
        type: "float32",
        shape,
        what: "the state after the last round that was run",
      };
      graph.output(port.name, made.state, shape);
      outputs.push(port);
      const noise = nameOf("stepNoise");
      const [first, last] = stepped.ports.map(({ name }) => name) as [string, string];
      steps = {
        ...rounds,
        first,
        last,
        input: nameOf("noise") ?? "noise",
        state: port.name,
        ...(noise && { noise }),
      };
    }
    return { bytes: graph.bytes(), ports, stepped, outputs, steps };
  };
  const { bytes, ports, stepped, outputs, steps } = written(network);
  const gaps = outputs.some(({ missing }) => missing !== undefined);
  return {
    name: "sample",
    bytes,
    network: {
      bytes: network,
      inputs: [
        ...ports.map(
          ({ inside, port: { shape, noise } }): NetworkInput => ({
            name: inside,
            shape: shape.map((size) => (size === ROWS ? "batch" : size)),
            from: noise ?? "classes",
          }),
        ),
        // All rounds are run.
        ...(stepped === undefined || rounds === undefined
          ? []
          : [
              { name: "firstStep", shape: [], from: { number: 0 } },
              { name: "lastStep", shape: [], from: { number: rounds.count } },
            ]),
      ],
      fileOf: (inner) => written(inner).bytes,
    },
    note: {
      file: "sample.onnx",
      what: `samples, as many as rows of noise${traced?.description === undefined ? "" : `. ${traced.description}`}`,
      inputs: [...ports.map(({ port }) => port), ...(stepped?.ports ?? [])],
      outputs,
      ...(steps && { steps }),
      notes: [
        ...(gaps ? ["Rows have gaps as the data has them, as those of eidos sample --gaps."] : []),
        ...(columnsOf(config) === undefined
          ? []
          : ["Numbers beyond the bounds of their column are set to them."]),
      ],
    },
  };
}
