import { basename } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { list } from "../../bounds.ts";
import { counted } from "../../memory.ts";
import { ESTIMATORS } from "../../representation/mutual-information/options.ts";
import { probeOptions } from "../../representation/probe/options.ts";
import { type ProbeRow, REFERENCES, type RunProbe } from "../../tasks/measure/probe.node.ts";
import { openRun, type Run } from "../../tasks/open-run.node.ts";
import { POOLS } from "../../tasks/use/embed.node.ts";
import { trustOf } from "../flags.ts";
import { print, printJson, printLine, showTable } from "../format.ts";
import { addVerb, runOptions } from "../verb.ts";

const flags = z.strictObject({
  layer: z.string().min(1).default("code").describe("which features: code, local or another layer"),
  pool: z.enum(POOLS).default("none").describe("of maps, every number, or the mean over locations"),
  ...probeOptions.shape,
  references: list(z.enum(REFERENCES))
    .default([...REFERENCES])
    .describe(
      "what stands beside: raw samples, 64 principal components of them, the same network without training",
    ),
  beside: list(z.string().min(1), 20)
    .default([])
    .describe("other runs whose codes stand in the same table, such as one that was trained with labels"),
  information: z
    .enum(ESTIMATORS)
    .optional()
    .describe(
      "estimate the mutual information of samples and features by this estimator, too, which takes minutes",
    ),
  ...runOptions,
  json: z.boolean().default(false).describe("print everything as JSON"),
});

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** The columns of the table: what there is in its rows. */
function cells(row: ProbeRow): readonly (readonly [head: string, cell: string])[] {
  const { size, linear, mlp, neighbors, few, information } = row;
  return [
    ["features", row.name],
    ["numbers", String(size)],
    ...(linear ? [["linear", percent(linear.accuracy)] as const] : []),
    ...(mlp ? [["mlp", percent(mlp.accuracy)] as const] : []),
    ...(neighbors ? [[`${neighbors.k} nearest`, percent(neighbors.accuracy)] as const] : []),
    ...few.map(
      ({ labels, draws, accuracy, deviation }) =>
        [
          counted(labels, "label"),
          // One draw has no deviation.
          `${percent(accuracy)}${draws > 1 ? ` ± ${(100 * deviation).toFixed(1)}` : ""}`,
        ] as const,
    ),
    ...(information ? [[`${information.estimator}, nats`, information.nats.toFixed(2)] as const] : []),
  ];
}

export function configure(command: Command): void {
  addVerb(command, {
    name: "probe",
    heading: "Probes",
    flags,
    help: "DATA has classes, and samples like those the run was fitted on; without it, the run's own data is taken. Features are frozen:\nclassifiers are fitted to those of the training split, chosen on validation, and measured on the test split.\n\nExamples:\n  eidos probe runs/vae-digits\n  eidos probe runs/photos cifar10 --beside runs/supervised --labels 100 --json",
    async action({ run, flags: options, operands: [source], display, signal }) {
      const {
        references,
        beside,
        json,
        weights: _w,
        provider,
        threads,
        trustModule,
        trustQuery,
        quiet: _q,
        ...others
      } = options;
      const trust = trustOf({ trustModule, trustQuery });
      const opened: Run[] = [];
      try {
        for (const folder of beside) opened.push(await openRun(folder, { provider, threads, trust, signal }));
        const probed = await run.probe(source as string | undefined, {
          ...others,
          references,
          beside: new Map(opened.map((other) => [basename(other.folder), other.loaded])),
          signal,
          onProgress: (what, share) => display.show("probing", share, what),
        });
        display.end();
        if (json) printJson(probed);
        else printProbe(probed, run.folder, options.seed);
      } finally {
        for (const other of opened) await other.release();
      }
    },
  });
}

function printProbe(
  { data, layer, step, counts, classes, rows, notes }: RunProbe,
  folder: string,
  seed: number,
): void {
  printLine(
    `${layer} of ${folder} on ${data}, ${classes.length} classes: learnt from ${counts.train}, chosen on ${counts.validation}, measured on ${counts.test} samples; weights of step ${step ?? "unknown"}, seed ${seed}`,
  );
  const heads = [...new Set(rows.flatMap((row) => cells(row).map(([head]) => head)))];
  print(
    showTable(
      heads,
      rows.map((row) => {
        const own = new Map(cells(row));
        return heads.map((head) => own.get(head) ?? "");
      }),
    ),
  );
  for (const note of notes) printLine(note);
}
