import { type Column, columnsSchema } from "../../data/sources/columns.ts";
import type { Binarization } from "../../data/sources/data-set.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { isNoisy } from "../../data/table/codec/index.ts";
import type { ExportedBound, ExportedScore } from "../../model/capabilities.ts";
import type { ExportedPort } from "../../model/exported.ts";
import { type GraphValue, GraphWriter } from "../../program/graph-writer.ts";
import { exportOnnx, graphOf, type RandomInput, type State } from "../../program/program.ts";
import { Random, type RandomKey } from "../../random.ts";
import { elementCount, input, type Tensor } from "../../tensor/index.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { SOURCE_BATCH } from "../run/inputs.node.ts";
import type { AbilityFile, ExportSubject, InnerNetwork, NetworkInput } from "./ability.ts";
import { columnPort, PortNames, ROWS } from "./column-ports.ts";
import { encodeColumns, inputTypeOf } from "./encode-graph.ts";
import { drawsOfRows, drawsOfScore, generatorsOfRows, leafOfRows, normalsOfPasses } from "./random-graph.ts";

// Score and features of a model as files that take and give data in their own units: columns of a table, bytes of an image.

/** A traced network as bytes, and the random numbers that it draws. */
function lowered(
  outputs: Readonly<Record<string, Tensor>>,
  weights: State,
): { readonly model: Uint8Array; readonly randoms: readonly RandomInput[] } {
  const { randoms } = graphOf(new Map(Object.entries(outputs)), weights);
  return { model: exportOnnx(outputs, weights), randoms };
}

/** The columns of samples that are rows; undefined for images. */
export function columnsOf({ dataInfo }: RunConfig): readonly Column[] | undefined {
  if (isPicture(dataInfo)) return undefined;
  if (dataInfo.columns !== undefined) return columnsSchema.parse(dataInfo.columns);
  return ["x", "y"].map((name): Column => ({ kind: "numeric", name, mean: 0, deviation: 1 }));
}

/** Samples that a graph reads, as the model sees them. */
interface ReadSamples {
  /** float32 [n, …sampleShape]. */
  readonly x: GraphValue;
  readonly ports: readonly ExportedPort[];
  /** Numbers of the rows. */
  readonly rows: GraphValue;
  readonly units: GraphValue | undefined;
  readonly bad: GraphValue | undefined;
  readonly names: PortNames;
}

/** The input by which noise is that of rows further down, and the numbers of the rows. @param count int64 of one element */
export function numberedRows(
  graph: GraphWriter,
  count: GraphValue,
  names: PortNames,
  drawsNoise: boolean,
): { readonly rows: GraphValue; readonly ports: readonly ExportedPort[] } {
  const plain = graph.range(0, count.squeeze(0));
  if (!drawsNoise) return { rows: plain, ports: [] };
  const name = names.take("firstRow");
  const given = graph.input(name, "int64", ["0 or 1"]);
  const first = graph.concat([given, graph.ints([0])], 0).gather(graph.ints([0]));
  const port: ExportedPort = {
    name,
    type: "int64",
    shape: ["0 or 1"],
    what: "number of the first row among all that are scored, from 0: the noise of a row follows from its number",
    optional: true,
    default: 0,
  };
  return { rows: plain.add(first), ports: [port] };
}

/** Zeros and ones of bytes, as the data of the run was made so. */
function binarized(
  graph: GraphWriter,
  bytes: GraphValue,
  { protocol, seed }: Binarization,
  rows: GraphValue,
  shape: readonly number[],
): GraphValue {
  if (protocol === "threshold") return bytes.greaterEqual(128).cast("float32");
  const size = elementCount(shape);
  const key = new Random(seed).split("binarise").split("read").key;
  const bits = drawsOfRows(graph, [key], rows, size).squeeze(2).transpose(1, 0);
  const share = bits
    .div(256)
    .cast("float32")
    .mul(2 ** -24)
    .mul(255);
  return share
    .reshape([-1, ...shape])
    .less(bytes)
    .cast("float32");
}

/** Declares inputs for samples. @param noisy whether what is made of them draws noise of its own */
function readSamples(graph: GraphWriter, { config, seed }: ExportSubject, noisy: boolean): ReadSamples {
  const { dataInfo, modelOptions } = config;
  const names = new PortNames();
  const columns = columnsOf(config);
  if (columns === undefined) {
    const [channels = 1, height = 1, width = 1] = dataInfo.sampleShape;
    const shape = [ROWS, height, width, channels];
    const name = names.take("image");
    const bytes = graph.input(name, "uint8", shape);
    const port: ExportedPort = {
      name,
      type: "uint8",
      shape,
      what: `${channels === 1 ? "grey" : "RGB"} images of ${width} × ${height} pixels as bytes 0 … 255, row after row of pixels`,
    };
    const drawn = dataInfo.binarization !== undefined && dataInfo.binarization.protocol !== "threshold";
    const numbered = numberedRows(graph, bytes.size(0), names, noisy || drawn);
    const floats = bytes.cast("float32").transpose(0, 3, 1, 2);
    const x =
      dataInfo.binarization === undefined
        ? floats
        : binarized(graph, floats, dataInfo.binarization, numbered.rows, dataInfo.sampleShape);
    return {
      x,
      ports: [port, ...numbered.ports],
      rows: numbered.rows,
      units: undefined,
      bad: undefined,
      names,
    };
  }
  const { given } = modelOptions;
  const isGiven = ({ name }: Column): boolean => Array.isArray(given) && given.includes(name);
  const ports = columns.map((column, i) =>
    columnPort(column, names.take(column.name, `column_${i + 1}`), "input"),
  );
  const inputs = ports.map(({ name }, i) => graph.input(name, inputTypeOf(columns[i] as Column), [ROWS]));
  const count = (inputs[0] as GraphValue).size(0);
  const numbered = numberedRows(graph, count, names, noisy || columns.some(isNoisy));
  const modeled = new Set(columns.filter((column) => !isGiven(column)));
  const { x, units, bad } = encodeColumns(graph, columns, inputs, numbered.rows, {
    noise: { seed },
    modeled,
  });
  return { x, ports: [...ports, ...numbered.ports], rows: numbered.rows, units, bad, names };
}

/** What is to be known of rows that the inputs of a graph take. */
function rowNotes({ ports, bad }: ReadSamples, seed: number, wrong: string): readonly string[] {
  const noisy = ports.some(({ optional }) => optional === true);
  return [
    ...(bad === undefined
      ? []
      : [
          `A row with a cell that its column cannot hold (a category that is not listed, a missing cell where no gaps are known, infinity) ${wrong}.`,
        ]),
    ...(noisy
      ? [
          `Noise is drawn inside, from seed ${seed} and the number of the row: row 0 gets the noise of the first row that eidos reads. A row that is scored alone has number 0 unless firstRow says otherwise.`,
        ]
      : []),
  ];
}

/** What a graph that reads samples is fed, its random leaves filled as `eidos score` fills them. */
function fed(
  graph: GraphWriter,
  read: ReadSamples,
  randoms: readonly RandomInput[],
  seed: number,
): Readonly<Record<string, GraphValue>> {
  const random = new Random(seed).split("score");
  const leaves = randoms.map(({ name, distribution, shape }, leaf) => {
    const rest = shape.slice(1).map(Number);
    const values = leafOfRows(graph, random.key, read.rows, {
      batch: SOURCE_BATCH,
      leaf,
      size: elementCount(rest),
      distribution,
    });
    return [name, values.reshape([-1, ...rest])] as const;
  });
  return { x: read.x, ...Object.fromEntries(leaves) };
}

/** The inputs of a network that reads samples. */
const samplesAndNoise = (x: Tensor, randoms: readonly RandomInput[]): readonly NetworkInput[] => [
  { name: "x", shape: x.shape, from: "samples" },
  ...randoms.map(({ name, shape, distribution }): NetworkInput => ({ name, shape, from: distribution })),
];

/** Every row of a value `count` times in a row. */
function repeated(graph: GraphWriter, value: GraphValue, count: number): GraphValue {
  if (count === 1) return value;
  const rows = graph.range(0, value.size(0).squeeze(0)).unsqueeze(1);
  const zeros = graph.constant("int64", new Array<number>(count).fill(0), [1, count]);
  return value.gather(rows.add(zeros).reshape([-1]));
}

/** Of the generator that has a child for each batch that is scored. */
const scoringKey = (seed: number): RandomKey => new Random(seed).split("score").key;

const batchesOf = ({ rows }: ReadSamples) => ({ rows, batch: SOURCE_BATCH });

/** What `eidos score` gives by a graph of its own, of the same draws: float64 [n]. */
function ownScore(
  graph: GraphWriter,
  read: ReadSamples,
  { logDensity, draws }: ExportedScore,
  { weights, seed, config }: ExportSubject,
): GraphValue {
  const generators =
    draws.length === 0 ? undefined : generatorsOfRows(graph, scoringKey(seed), batchesOf(read));
  const drawn = draws.flatMap((draw) =>
    generators === undefined ? [] : [[draw.name, drawsOfScore(graph, generators, draw)] as const],
  );
  const { x, bad } = read;
  // One row decides the steps of all: what is no number must not get that far.
  const rest = config.dataInfo.sampleShape.map((_, i) => i + 1);
  const finite = bad === undefined ? x : graph.constant("float32", [0], []).where(bad.unsqueeze(...rest), x);
  const found = graph.include(exportOnnx({ logDensity }, weights), {
    x: finite,
    ...Object.fromEntries(drawn),
  });
  return (found.logDensity as GraphValue).cast("float64");
}

/** The bound that `eidos score` gives by a mean of weights of many codes, of the same codes: float64 [n]. */
function boundOf(
  graph: GraphWriter,
  read: ReadSamples,
  { once, logWeight, noiseSize, samples, together, shares: of }: ExportedBound,
  { weights, seed }: ExportSubject,
): GraphValue {
  const shares = of ?? [1];
  const classes = [...shares.keys()].filter((k) => (shares[k] ?? 0) > 0);
  const isOfClasses = of !== undefined;
  const passes = Array.from({ length: Math.ceil(samples / together) }, (_, i) => i * together);
  const paths = classes.flatMap((k) => passes.map((first) => (isOfClasses ? [k, first] : [first])));
  const noise = normalsOfPasses(graph, scoringKey(seed), batchesOf(read), {
    paths,
    size: together * noiseSize,
  })
    .reshape([-1, classes.length, passes.length * together, noiseSize])
    .slice(0, samples, 2)
    .reshape([-1, noiseSize]);
  // A row for each sample and class, then one for each of its codes.
  const x = repeated(graph, read.x, classes.length);
  const zero = read.rows.unsqueeze(1).mul(0);
  const label = zero.add(graph.constant("int64", classes, [1, classes.length])).reshape([-1]);
  const ofSamples = graph.include(exportOnnx(once, weights), isOfClasses ? { x, label } : { x });
  const ofCodes = Object.fromEntries(
    Object.entries(ofSamples).map(([name, value]) => [name, repeated(graph, value, samples)]),
  );
  const network = exportOnnx({ logWeight }, weights);
  const { logWeight: logs } = graph.include(network, { ...ofCodes, noise });
  const offsets = classes.map((k) => Math.log((shares[k] ?? 0) / samples));
  const terms = (logs as GraphValue)
    .cast("float64")
    .reshape([-1, classes.length, samples])
    .add(graph.constant("float64", offsets, [1, classes.length, 1]))
    .reshape([-1, classes.length * samples]);
  const largest = graph.op("ReduceMax", [terms, graph.ints([1])], "float64", { keepdims: { int: 1 } });
  return terms.sub(largest).exp().sum(1).log().add(largest.squeeze(1));
}

/** The random leaves of a graph that have a row for each sample. */
const areOfRows = (randoms: readonly RandomInput[]): boolean =>
  randoms.every(({ shape }) => shape[0] === "batch");

/** Why a score has no file, or the file. Undefined where the model has no likelihood. */
export function scoreAbility(subject: ExportSubject): AbilityFile | { readonly why: string } | undefined {
  const { model, config, weights, seed } = subject;
  if (model.logProb === undefined) return undefined;
  const bound = model.exportedBound?.(SOURCE_BATCH);
  const own = model.exportedScore?.();
  if (model.score !== undefined && bound === undefined && own === undefined) {
    return { why: `${config.model} scores by a method of its own, for which there is no graph` };
  }
  const written = (natsOf: (graph: GraphWriter, read: ReadSamples) => GraphValue, isNoisy: boolean) => {
    const graph = new GraphWriter();
    const read = readSamples(graph, subject, isNoisy);
    let nats = natsOf(graph, read);
    if (read.units !== undefined) nats = nats.add(read.units);
    if (read.bad !== undefined) nats = graph.constant("float64", [Number.NaN], []).where(read.bad, nats);
    const name = read.names.take("logLikelihood");
    graph.output(name, nats, [ROWS]);
    return { bytes: graph.bytes(), read, name };
  };
  let made: ReturnType<typeof written>;
  let network: InnerNetwork | undefined;
  if (own !== undefined) {
    made = written((graph, read) => ownScore(graph, read, own, subject), own.draws.length > 0);
  } else if (bound === undefined) {
    const x = input("x", ["batch", ...config.dataInfo.sampleShape]);
    const { model: plain, randoms } = lowered({ logProb: model.logProb(x) }, weights);
    if (!areOfRows(randoms)) return { why: "its noise is not drawn row by row" };
    const around = (inner: Uint8Array) =>
      written((graph, read) => {
        const { logProb } = graph.include(inner, fed(graph, read, randoms, seed));
        return (logProb as GraphValue).cast("float64");
      }, randoms.length > 0);
    made = around(plain);
    network = {
      bytes: plain,
      inputs: samplesAndNoise(x, randoms),
      fileOf: (inner) => around(inner).bytes,
    };
  } else {
    made = written((graph, read) => boundOf(graph, read, bound, subject), true);
  }
  const { bytes, read, name } = made;
  const isImage = config.dataInfo.kind === "image";
  const size = elementCount(config.dataInfo.sampleShape);
  const conditional = config.modelOptions.conditional === true ? ", classes mixed by their shares" : "";
  const what = `log-likelihood of each ${columnsOf(config) === undefined ? "image" : "row"}, as eidos score gives it${conditional}`;
  return {
    name: "score",
    bytes,
    ...(network && { network }),
    note: {
      file: "score.onnx",
      what,
      inputs: read.ports,
      outputs: [
        {
          name,
          type: "float64",
          shape: [ROWS],
          unit: "nats",
          what: `${what}${isImage ? `; bits per dimension are −logLikelihood / (${size} · ln 2)` : ""}`,
        },
      ],
      notes: [
        ...rowNotes(read, seed, "has the score NaN"),
        ...(own === undefined ? [] : [own.note]),
        ...(bound === undefined
          ? []
          : [
              `A lower bound, of ${bound.samples} codes drawn for each row, which take the time and the memory of as many: score some hundred rows at a time.`,
            ]),
      ],
    },
  };
}

/** The features of samples as a file. @param features of the input that it is given */
export function embedAbility(
  subject: ExportSubject,
  layer: string,
  features: (x: Tensor) => Tensor,
): AbilityFile {
  const { config, weights, seed } = subject;
  const x = input("x", ["batch", ...config.dataInfo.sampleShape]);
  const found = features(x);
  const { model: network, randoms } = lowered({ features: found }, weights);
  const rest = found.shape.slice(1).map(Number);
  const shape = [ROWS, ...rest];
  const written = (inner: Uint8Array) => {
    const graph = new GraphWriter();
    const read = readSamples(graph, subject, randoms.length > 0);
    const { features: values } = graph.include(inner, fed(graph, read, randoms, seed));
    const bad = read.bad?.unsqueeze(...rest.map((_, i) => i + 1));
    const own = values as GraphValue;
    const name = read.names.take("features");
    graph.output(
      name,
      bad === undefined ? own : graph.constant("float32", [Number.NaN], []).where(bad, own),
      shape,
    );
    return { bytes: graph.bytes(), read, name };
  };
  const { bytes, read, name } = written(network);
  const what = `features of the layer ${layer}, as eidos embed gives them`;
  return {
    name: "embed",
    bytes,
    network: {
      bytes: network,
      inputs: samplesAndNoise(x, randoms),
      fileOf: (inner) => written(inner).bytes,
    },
    note: {
      file: "embed.onnx",
      what,
      inputs: read.ports,
      outputs: [{ name, type: "float32", shape, what }],
      notes: rowNotes(read, seed, "has the features NaN"),
    },
  };
}
