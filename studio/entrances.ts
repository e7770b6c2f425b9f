import { fileURLToPath } from "node:url";
import packageJson from "../package.json" with { type: "json" };

/** The entrances of the package, from its source: the studio uses eidos as any other program does, and needs no build of it. */
export const entrances = Object.entries(packageJson.exports).flatMap(([name, target]) =>
  typeof target === "string"
    ? []
    : [
        {
          find: new RegExp(`^${name.replace(/^\./, "eidos")}$`),
          replacement: fileURLToPath(
            new URL(target.default.replace(/^\.\/dist\/(.*)\.js$/, "../src/$1.ts"), import.meta.url),
          ),
        },
      ],
);
