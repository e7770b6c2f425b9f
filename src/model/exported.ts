import * as z from "zod";
import { list, MOST, nameList, text } from "../bounds.ts";

// model.json of an exported model: what stands beside its ONNX files, so that another program can use them without eidos.

/**
 * The number that model.json begins with; a reader refuses a larger one. It grows where a reader that goes on without knowing would use the files
 * wrongly. A key that is new and can be passed over, such as `precision`, leaves it as it is: inputs and outputs are the same without it.
 */
export const EXPORT_VERSION = 1;

const texts = () => list(text(), MOST.names).readonly();

/** A file of the model. A stranger's record may name nothing elsewhere. */
const fileName = () =>
  z
    .string()
    .max(200)
    .regex(/^\w[\w .-]*\.onnx$/, "must be the name of an ONNX file beside model.json");

/** What the number of a date means. */
const dateNote = z
  .strictObject({
    precision: text().describe("what the number counts: day, month, …"),
    form: text().describe("how dates of the column are written: yyyy-MM-dd"),
    zone: text().optional().describe("the zone in which they are written"),
    formula: text().describe("the number of a date, in words"),
  })
  .readonly();

/** One input or output of a graph. */
const port = z
  .strictObject({
    name: text().describe("in the graph"),
    type: z.enum(["float32", "float64", "int64", "uint8", "string"]),
    shape: list(z.union([z.int().min(0), text()]), 8)
      .readonly()
      .describe("numbers, or names of sizes that are free: the same name is the same size"),
    what: text().describe("what it is, in words"),
    column: text().optional().describe("the column of the table, where its name differs"),
    unit: text().optional(),
    optional: z
      .literal(true)
      .optional()
      .describe("an empty tensor, of shape [0], stands for the default; one element replaces it"),
    default: z.number().optional(),
    minimum: z.number().optional().describe("smallest value seen in training, or declared"),
    maximum: z.number().optional(),
    step: z
      .number()
      .positive()
      .optional()
      .describe("all values of the column are multiples of it, from offset on"),
    offset: z.number().optional().describe("where the steps of the column begin (default: 0)"),
    missing: z
      .union([z.literal("NaN"), z.literal(""), z.literal(-1)])
      .optional()
      .describe("what stands for a missing cell, where the model knows gaps of the column"),
    categories: texts().optional().describe("texts that the column knows, in the order of their codes"),
    pooled: text().optional().describe("the category that all texts which are not listed count as"),
    hashed: text().optional().describe("how a text becomes its code"),
    date: dateNote.optional(),
    noise: z
      .enum(["normal", "uniform"])
      .optional()
      .describe("what to fill it with: standard normals, or uniforms on [0, 1)"),
    stream: list(text(), 8)
      .readonly()
      .optional()
      .describe(
        "of noise: labels of the generator that eidos sample fills a row from, after those of the seed, `sample` and the row, and before that of the step where the first axis is of steps",
      ),
  })
  .readonly();

/** A measure of both networks, or of how far they are apart. */
const lossMeasure = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("compared"),
    name: text(),
    unit: text().optional(),
    before: z.number().describe("of the network in float32"),
    after: z.number().describe("of the network in this file"),
  }),
  z.strictObject({ kind: z.literal("difference"), name: text(), unit: text().optional(), value: z.number() }),
]);

const loss = z
  .strictObject({
    on: text().describe("what both networks were given: the split, or noise"),
    samples: z.int().min(1),
    measures: list(lossMeasure, 8).min(1).readonly(),
  })
  .readonly();

const precision = z
  .strictObject({
    type: z.enum(["fp16", "int8"]),
    what: text().describe("what is stored and computed in it, in words"),
    bytes: z
      .strictObject({ before: z.int().min(1), after: z.int().min(1) })
      .describe("of the file, in float32 and as it is"),
    layers: z
      .strictObject({
        computing: z.int().min(0).describe("compute with whole numbers"),
        stored: z.int().min(0).describe("have weights of whole numbers and compute with floats"),
        floats: z.int().min(0).describe("were left as they were"),
      })
      .optional(),
    calibration: z
      .strictObject({ on: text(), samples: z.int().min(1), method: text() })
      .optional()
      .describe("what the ranges of activations were found on"),
    overflow: z
      .strictObject({ count: z.int().min(1), example: z.number(), weights: texts() })
      .optional()
      .describe("numbers beyond 65504, whose weights stayed in float32"),
    loss,
  })
  .readonly();

/** A further file of an ability. */
const part = z
  .strictObject({
    file: fileName(),
    inputs: list(port, MOST.names).readonly(),
    outputs: list(port, MOST.names).min(1).readonly(),
  })
  .readonly();

const position = () => z.int().min(0).max(MOST.elements);

/** How gaps of rows are filled in by many runs of files: `load` of eidos/use does it. */
const completion = z
  .strictObject({
    cells: part.describe("samples as the model has them to columns in their own units"),
    draw: part.optional().describe("noise to samples as the model has them, of a model that can be inverted"),
    drawKnown: part
      .optional()
      .describe("as draw, with what is known held: exact for rows whose known numbers come first in order"),
    density: part.describe("log-density of samples as the model has them, and its gradient"),
    mixture: part.optional().describe("the same, of all classes by their shares"),
    columns: list(
      z
        .strictObject({
          gap: position().describe("numbers of the code that says whether a cell is there"),
          size: position().describe("numbers of its value"),
        })
        .readonly(),
      MOST.names,
    )
      .readonly()
      .describe("of the columns in the order of the inputs: what each takes of a sample"),
    modeled: list(position(), MOST.elements)
      .readonly()
      .describe("positions in a sample that the model has a density of; others have to be known"),
    order: list(position(), MOST.elements)
      .readonly()
      .optional()
      .describe("those positions in an order in which later numbers can be drawn given earlier ones"),
    noise: z
      .strictObject({
        kind: z.enum(["normal", "uniform", "logistic", "mixture"]),
        size: position().describe("numbers of one draw"),
      })
      .readonly(),
    course: z
      .strictObject({
        iterations: z.int().min(1).max(MOST.steps),
        leapfrogs: z.int().min(1).max(MOST.steps),
        startPower: z.number().min(0).max(1),
      })
      .readonly()
      .describe("trajectories of a chain, their mean leapfrog steps, and the power of the density at first"),
    keys: z
      .strictObject({
        input: text().describe("of the keys of generators, a row of four words each"),
        columns: texts(),
      })
      .readonly()
      .optional()
      .describe("columns whose cells are encoded with noise"),
    firstRow: text().optional().describe("optional input: number of the first row"),
    block: z.int().min(1).max(MOST.elements).describe("rows that are completed together with one seed"),
    classColumn: text().optional().describe("column that holds the class of a row"),
    shares: list(z.number().min(0).max(1), MOST.names)
      .readonly()
      .optional()
      .describe("of the classes, of a model that is conditional on them"),
  })
  .readonly();

/** What one file of an exported model does. */
const ability = z
  .strictObject({
    file: fileName().describe("name of the ONNX file, beside model.json"),
    what: text(),
    inputs: list(port, MOST.names).readonly(),
    outputs: list(port, MOST.names).min(1).readonly(),
    steps: z
      .strictObject({
        count: z.int().min(1).max(MOST.steps).describe("rounds of the sampler"),
        each: z.int().min(1).max(MOST.steps).describe("rounds of a step: runs begin at multiples of it"),
        first: text().describe(
          "optional input: number of the first round to run, from 0; after it, noise is the state",
        ),
        last: text().describe("optional input: rounds before this number are run"),
        input: text().describe("input of noise, which later takes the state"),
        state: text().describe("output: the state after the last round that was run"),
        noise: text().optional().describe("input with noise of each round that is run, on its first axis"),
      })
      .readonly()
      .optional()
      .describe("of a sampler whose steps can be run one by one; outputs are then samples on their way"),
    completion: completion.optional().describe("of impute: further files and how they are used"),
    notes: texts().optional().describe("what is to be known beyond the inputs and outputs"),
    precision: precision.optional().describe("where weights are not float32"),
  })
  .readonly();

/** The whole record. */
export const exportedModelSchema = z.strictObject({
  format: z.literal("eidos-model"),
  version: z.literal(EXPORT_VERSION),
  eidos: text().describe("version that wrote it"),
  model: text().describe("name of the model in eidos"),
  data: text().describe("what it was fitted on"),
  kind: z.enum(["points", "image", "table", "binary", "detection"]),
  step: z.int().min(0).optional().describe("of training, of the weights"),
  seed: z.int().optional().describe("of the fit"),
  classes: nameList(text()).readonly().optional().describe("names of classes, by number"),
  abilities: z
    .strictObject({
      score: ability.optional(),
      sample: ability.optional(),
      impute: ability.optional(),
      embed: ability.optional(),
      detect: ability.optional(),
    })
    .readonly(),
  stages: list(z.strictObject({ file: fileName(), what: text() }).readonly(), MOST.names)
    .readonly()
    .optional()
    .describe("files of a model of several networks, whose use together stays outside"),
  outside: texts().optional().describe("what stays outside of the files and has to be done by their user"),
  leftOut: list(z.strictObject({ ability: text(), why: text() }).readonly(), MOST.names)
    .readonly()
    .describe("what eidos does with the model and the files do not, with the reason"),
});

export type ExportedModel = z.output<typeof exportedModelSchema>;
export type ExportedAbility = z.output<typeof ability>;
export type ExportedPort = z.output<typeof port>;
export type ExportedPart = z.output<typeof part>;
export type ExportedImputation = z.output<typeof completion>;
export type ExportedAbilityName = keyof ExportedModel["abilities"];
export type ExportedPrecision = z.output<typeof precision>;
export type ExportedLoss = z.output<typeof loss>;
