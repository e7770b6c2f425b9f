import { z } from "zod";
import { text } from "../../bounds.ts";

/** Options of the studio, as the command and `startStudio` take them. */
export const studioOptions = z.strictObject({
  port: z
    .int()
    .min(0)
    .max(65_535)
    .default(8020)
    .describe("port of this machine to listen on; 0 for any free one"),
  runs: text().min(1).default("runs").describe("folder whose runs are shown, and into which new ones go"),
  data: text().min(1).default(".").describe("folder from which the page takes data"),
});

/** As a user gives them. */
export type StudioOptions = z.input<typeof studioOptions>;
