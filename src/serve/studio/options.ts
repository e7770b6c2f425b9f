import { z } from "zod";

/** Options of the studio, as the command and `startStudio` take them. */
export const studioOptions = z.strictObject({
  port: z
    .int()
    .min(0)
    .max(65_535)
    .default(8020)
    .describe("port of this machine to listen on; 0 for any free one"),
});

/** As a user gives them. */
export type StudioOptions = z.input<typeof studioOptions>;
