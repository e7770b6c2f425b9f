import type { Command } from "commander";
import { z } from "zod";
import { parseOptions } from "../../options.ts";
import { serveOptions } from "../../serve/options.ts";
import { serve } from "../../serve/server.node.ts";
import { showing, trustFlags, trustOf } from "../flags.ts";
import { printJsonLine, printNote } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { openUntilSignal } from "../signals.ts";

const trust = z.strictObject({ ...trustFlags, ...showing });

export function configure(command: Command): void {
  addSchemaOptions(command, "Server", serveOptions);
  addSchemaOptions(command, "Trust and output", trust);
  command.addHelpText(
    "after",
    "\nA run is served under the name of its folder, or as NAME=FOLDER. The Open Inference Protocol is below /v2, people type /detect, /score,\n/impute, /sample and /embed, /openapi.json describes both. The token may stand in the environment variable EIDOS_TOKEN.\n\nExamples:\n  eidos serve runs/yolo-cells\n  eidos serve wine=runs/spline-flow-wine runs/yolo-cells --port 9000 --token-file token\n  curl --data-binary @photo.jpg 'localhost:8000/detect?confidence=0.5'",
  );
  command.action(async (runs: readonly string[], given: Readonly<Record<string, unknown>>) => {
    const own = (name: string): boolean => Object.hasOwn(trust.shape, name);
    const pick = (wanted: boolean) =>
      Object.fromEntries(Object.entries(given).filter(([name]) => own(name) === wanted));
    const trusted = parseOptions("serve", trust, flagValues(pick(true), [trust]));
    const { EIDOS_TOKEN: secret } = process.env;
    const flags = flagValues(pick(false), [serveOptions]);
    const isNamed = flags.token !== undefined || flags.tokenFile !== undefined;
    const options = parseOptions("serve", serveOptions, {
      ...flags,
      ...(secret !== undefined && !isNamed && { token: secret }),
    });
    await openUntilSignal(
      () => serve(runs, options, trustOf(trusted)),
      // Standard output is the log, an object a line; with --json one of them says what is served.
      ({ url, models }) => {
        if (trusted.json) {
          const served = models.map(({ name, model, abilities }) => ({ name, model, abilities }));
          printJsonLine({ url, models: served });
        } else {
          for (const { name, model, abilities } of models)
            printNote(`${name} (${model}): ${abilities.join(", ")}`);
          printNote(`listening on ${url}`);
        }
      },
      "stopping: requests that are here are answered; once more to quit at once",
    );
  });
}
