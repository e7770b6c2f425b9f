import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { objection, readLock, type ThirdParty, thirdParties } from "./third-party.ts";

// `npm run licenses`: every package that is installed with eidos, with version and licence. Ends with code 1 where one has a licence that
// eidos may not bring along (GPL, AGPL, or none that is known).

const NONE = "none stated";

/** The lines that are printed: a table for each kind of package, then the licences counted. */
export function licenseLines(parties: readonly ThirdParty[]): readonly string[] {
  const width = Math.max(...parties.map(({ name, version }) => name.length + version.length + 1));
  const lines: string[] = [];
  for (const [need, title] of [
    ["required", "Installed with eidos"],
    [
      "optional",
      "Installed only with the optional packages sharp, DuckDB and onnxruntime-web, on all platforms",
    ],
  ] as const) {
    const chosen = parties.filter((party) => party.need === need);
    const counts = new Map<string, number>();
    for (const { license = NONE } of chosen) counts.set(license, (counts.get(license) ?? 0) + 1);
    const sum = [...counts].sort(([, a], [, b]) => b - a).map(([license, count]) => `${count} ${license}`);
    lines.push(`${title}: ${chosen.length} packages (${sum.join(", ")})`);
    for (const { name, version, license = NONE } of chosen) {
      lines.push(`  ${`${name}@${version}`.padEnd(width)}  ${license}`);
    }
  }
  return lines;
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  const parties = thirdParties(await readLock());
  console.log(licenseLines(parties).join("\n"));
  const refused = parties.flatMap((party) => {
    const reason = objection(party);
    return reason === undefined ? [] : [`${party.name}@${party.version}: ${reason}`];
  });
  if (refused.length > 0) {
    console.error(`\nlicences that eidos may not bring along:\n  ${refused.join("\n  ")}`);
    process.exitCode = 1;
  }
}
