import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { table } from "./report.ts";
import { median, medianRatio } from "./statistics.ts";

// How long short commands take: from the bundle, as users have them, and file by file from dist, in turns. After `npm run build`:
// `npx tsx bench/start.ts --rounds 15`.

const path = (relative: string): string => fileURLToPath(new URL(`../${relative}`, import.meta.url));

const { values } = parseArgs({ options: { rounds: { type: "string", default: "15" } } });
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--rounds: a whole number from 1, not ${values.rounds}`);

const folder = await mkdtemp(join(tmpdir(), "eidos-start-"));
const points = path("test/fixtures/runs/nice-two-moons");
const detector = path("test/fixtures/runs/fcos-digit-scenes");

const COMMANDS: readonly (readonly string[])[] = [
  ["--help"],
  ["models"],
  ["sample", points, "--count", "64", "--out", join(folder, "points.csv")],
  ["sample", points, "--count", "64", "--out", join(folder, "points.png")],
  ["detect", detector, path("docs/images/digit-scenes.png"), "--out", join(folder, "found")],
  ["fit", "nice", "two-moons", "--steps", "5", "--report", "none", "--out", join(folder, "run")],
];

/** A command without its folders. */
const nameOf = (command: readonly string[]): string =>
  `\`${command.map((word) => word.split("/").at(-1)).join(" ")}\``;

interface Spent {
  readonly cpu: number;
  readonly wall: number;
}

const url = (relative: string): string => JSON.stringify(pathToFileURL(path(relative)).href);

/** Programs that run a command. Not by options that load a module first: with these the command does without its bundle. */
const WAYS = {
  bundle: `process.argv.splice(1, 0, "eidos"); import(${url("dist/cli/main.js")});`,
  files: `import(${url("dist/cli/command.js")}).then(({ runCommand }) => runCommand(process.argv.slice(1)));`,
};

/** Runs a command to its end. Seconds of all its threads together are asked of the process itself, as it ends. */
async function spent(way: string, command: readonly string[]): Promise<Spent> {
  for (const made of ["run", "found"]) await rm(join(folder, made), { recursive: true, force: true });
  const asking = 'process.on("exit", () => process._rawDebug("cpu " + JSON.stringify(process.cpuUsage())));';
  const begun = performance.now();
  const { status, stderr } = spawnSync(process.execPath, ["-e", asking + way, "--", ...command], {
    encoding: "utf8",
  });
  const wall = (performance.now() - begun) / 1000;
  const used = /^cpu (.*)$/m.exec(stderr)?.[1];
  if (status !== 0 || used === undefined) throw new Error(`eidos ${command.join(" ")}: ${stderr}`);
  const { user, system } = JSON.parse(used);
  return { cpu: (user + system) / 1e6, wall };
}

const rows = [["command", "CPU, s", "of files, s", "ratio", "wall, s", "of files, s", "ratio"]];
try {
  for (const one of COMMANDS) {
    const bundle: Spent[] = [];
    const files: Spent[] = [];
    for (let round = 0; round < rounds; round++) {
      bundle.push(await spent(WAYS.bundle, one));
      files.push(await spent(WAYS.files, one));
    }
    const cells = (["cpu", "wall"] as const).flatMap((what) => {
      const mine = bundle.map((run) => run[what]);
      const theirs = files.map((run) => run[what]);
      return [median(mine).toFixed(2), median(theirs).toFixed(2), medianRatio(theirs, mine).toFixed(2)];
    });
    rows.push([nameOf(one), ...cells]);
    console.error(rows.at(-1)?.join("  "));
  }
  console.log(table(rows));
} finally {
  await rm(folder, { recursive: true, force: true });
}
