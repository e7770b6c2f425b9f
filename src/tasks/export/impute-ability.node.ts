import { type Column, gapWidth, valueWidth } from "../../data/sources/columns.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { SHARD_BLOCK } from "../../data/sources/shard.ts";
import { isNoisy } from "../../data/table/codec/index.ts";
import { GradientError } from "../../errors.ts";
import type { ExportedCompletion } from "../../model/capabilities.ts";
import { classShares } from "../../model/data-info.ts";
import type { ExportedImputation, ExportedPart, ExportedPort } from "../../model/exported.ts";
import { type GraphValue, GraphWriter } from "../../program/graph-writer.ts";
import { exportOnnx, graphOf } from "../../program/program.ts";
import type { Tensor } from "../../tensor/index.ts";
import { modelInfo } from "../run/definition.node.ts";
import type { AbilityFile, ExportSubject } from "./ability.ts";
import { columnPort, PortNames, ROWS } from "./column-ports.ts";
import { decodeColumns } from "./decode-graph.ts";
import { encodeColumns, inputTypeOf } from "./encode-graph.ts";
import { columnsOf, numberedRows } from "./row-abilities.node.ts";

// Gaps of rows as files: what encodes and decodes rows, draws, and gives the log-density with its gradient. The loop between them is that of
// `eidos impute`, which `load` of eidos/use runs on these files.

/** Where keys of generators go in. */
const KEYS = "keys";

/** Rows in their own units to samples. */
function rowsFile(columns: readonly Column[]) {
  const graph = new GraphWriter();
  const names = new PortNames();
  const ports = columns.map((column, i) =>
    columnPort(column, names.take(column.name, `column_${i + 1}`), "input"),
  );
  const inputs = ports.map(({ name }, i) => graph.input(name, inputTypeOf(columns[i] as Column), [ROWS]));
  const count = (inputs[0] as GraphValue).size(0);
  const noisy = columns.filter(isNoisy);
  const numbered = numberedRows(graph, count, names, noisy.length > 0);
  const keysPort: ExportedPort = {
    name: names.take(KEYS),
    type: "int64",
    shape: [noisy.length, 4],
    what: "keys of the generators of noisy columns, four words of 32 bits each",
  };
  const keys = noisy.length > 0 ? graph.input(keysPort.name, "int64", keysPort.shape) : undefined;
  const { x, bad } = encodeColumns(graph, columns, inputs, numbered.rows, {
    noise: keys === undefined ? { seed: 0 } : { keys },
    modeled: new Set(),
  });
  const output: ExportedPort = {
    name: names.take("x"),
    type: "float32",
    shape: [ROWS, columns.reduce((width, column) => width + gapWidth(column) + valueWidth(column), 0)],
    what: "rows as the model sees them; NaN for a row with a cell that its column cannot hold",
  };
  graph.output(
    output.name,
    graph.constant("float32", [Number.NaN], []).where(bad.unsqueeze(1), x),
    output.shape,
  );
  const [first] = numbered.ports;
  return {
    bytes: graph.bytes(),
    inputs: [...ports, ...numbered.ports, ...(keys === undefined ? [] : [keysPort])],
    outputs: [output],
    ...(keys !== undefined && { keys: { input: keysPort.name, columns: noisy.map(({ name }) => name) } }),
    ...(first !== undefined && { firstRow: first.name }),
  };
}

/** Samples to rows in their own units. */
function cellsFile(columns: readonly Column[], width: number) {
  const graph = new GraphWriter();
  const names = new PortNames();
  const input: ExportedPort = {
    name: names.take("x"),
    type: "float32",
    shape: [ROWS, width],
    what: "rows as the model sees them",
  };
  const x = graph.input(input.name, "float32", input.shape);
  const outputs = decodeColumns(columns, x).map((value, i) => {
    const column = columns[i] as Column;
    const port = columnPort(column, names.take(column.name, `column_${i + 1}`), "output");
    graph.output(port.name, value, [ROWS]);
    return port;
  });
  return { bytes: graph.bytes(), inputs: [input], outputs };
}

const WHAT: Readonly<Record<string, string>> = {
  x: "rows as the model sees them",
  known: "1 where a number is known, 0 elsewhere",
  noise: "noise of the base distribution",
  label: "number of the class of each row",
  drawn: "rows as the model sees them",
  logDensity: "log-density as the model sees rows, in nats",
  gradient: "its gradient by x",
};

/** A network as a file, and what goes in and out. */
function networkFile(outputs: Readonly<Record<string, Tensor>>, { weights }: ExportSubject) {
  const { graph, randoms } = graphOf(new Map(Object.entries(outputs)), weights);
  const port = (name: string, { dtype, shape }: Tensor): ExportedPort => ({
    name,
    type: dtype === "int64" ? "int64" : "float32",
    shape: shape.map((side) => (side === "batch" ? ROWS : side)),
    what: WHAT[name] ?? name,
  });
  return {
    bytes: exportOnnx(outputs, weights),
    isRandom: randoms.length > 0,
    inputs: [...graph.inputs].map(([leaf, name]) => port(name, leaf)),
    outputs: Object.entries(outputs).map(([name, tensor]) => port(name, tensor)),
  };
}

/** The graphs that a model completes rows by, or why there are none. */
function completionOf({ model, config }: ExportSubject): ExportedCompletion | string {
  try {
    return (
      model.exportedCompletion?.() ?? `${config.model} fills in gaps by a loop that is not written in files`
    );
  } catch (error) {
    if (!(error instanceof GradientError)) throw error;
    return `the log-density of ${config.model} has no gradient, by which gaps are filled in`;
  }
}

/** What fills in gaps of rows as files. Undefined for a model that cannot, and for images. */
export function imputeAbility(subject: ExportSubject): AbilityFile | { readonly why: string } | undefined {
  const { model, config } = subject;
  const columns = columnsOf(config);
  if (model.inpaint === undefined || columns === undefined || isPicture(config.dataInfo)) return undefined;
  const completion = completionOf(subject);
  if (typeof completion === "string") return { why: completion };
  const { draw, drawKnown, density, mixture, modeled, order, noise, course } = completion;
  const networks: Readonly<Record<string, ReturnType<typeof networkFile>>> = {
    ...(draw && { draw: networkFile({ drawn: draw }, subject) }),
    ...(drawKnown && { drawKnown: networkFile({ drawn: drawKnown }, subject) }),
    density: networkFile(density, subject),
    ...(mixture && { mixture: networkFile(mixture, subject) }),
  };
  if (Object.values(networks).some(({ isRandom }) => isRandom)) {
    return { why: `the log-density of ${config.model} is estimated by random numbers` };
  }
  const rows = rowsFile(columns);
  const fileOf = (name: string): string => `impute-${name === "drawKnown" ? "known" : name}.onnx`;
  const partOf = (name: string, { inputs, outputs }: Omit<ExportedPart, "file">): ExportedPart => ({
    file: fileOf(name),
    inputs,
    outputs,
  });
  const cells = cellsFile(columns, Number(rows.outputs[0]?.shape[1]));
  const made = { cells, ...networks };
  const { label } = config.dataOptions;
  const isConditional = config.modelOptions.conditional === true;
  return {
    name: "impute",
    bytes: rows.bytes,
    parts: Object.fromEntries(Object.entries(made).map(([name, { bytes }]) => [fileOf(name), bytes])),
    note: {
      file: "impute.onnx",
      what: "gaps of rows, filled in by draws given the other cells, as eidos impute fills them in",
      inputs: rows.inputs,
      outputs: rows.outputs,
      completion: {
        ...(Object.fromEntries(
          Object.entries(networks).map(([name, network]) => [name, partOf(name, network)]),
        ) as Pick<ExportedImputation, "density" | "draw" | "drawKnown" | "mixture">),
        cells: partOf("cells", cells),
        columns: columns.map((column) => ({ gap: gapWidth(column), size: valueWidth(column) })),
        modeled,
        ...(order && { order }),
        noise,
        course,
        ...(rows.keys && { keys: rows.keys }),
        ...(rows.firstRow !== undefined && { firstRow: rows.firstRow }),
        block: SHARD_BLOCK,
        ...(isConditional && { shares: classShares(modelInfo(config.dataInfo)) }),
        ...(isConditional && typeof label === "string" && { classColumn: label }),
      },
      notes: [
        "Several files, which are run many times with choices between the runs: load of eidos/use does it. Cells that are to be filled in go in with any value that their column can hold.",
      ],
    },
  };
}
