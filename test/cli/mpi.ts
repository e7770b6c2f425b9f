import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { expect } from "vitest";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { main, type Outcome, outcomeOf, timelessMetrics } from "./support.ts";

// Ranks of an MPI job in tests. Where there is no MPI, these are skipped, and that is printed.

/** Where launchers of MPI are. */
const LAUNCHERS = [
  { name: "Open MPI", command: "mpirun.openmpi", arguments: ["--oversubscribe"] },
  { name: "MPICH", command: "mpirun.mpich", arguments: [] },
  { name: "Open MPI", command: "mpirun", arguments: ["--oversubscribe"] },
] as const;

export interface Launcher {
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
}

const answers = ({ command, name }: Launcher): boolean => {
  try {
    const text = execFileSync(command, ["--version"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return name !== "Open MPI" || text.includes("Open MPI");
  } catch {
    return false;
  }
};

/** The MPIs of this machine, each once. */
const isAsked = process.env.EIDOS_RANKS !== undefined;

export const launchers: readonly Launcher[] = (isAsked ? LAUNCHERS.filter(answers) : []).filter(
  ({ name }, i, all) => all.findIndex((other) => other.name === name) === i,
);

if (launchers.length === 0) {
  process.stdout.write(
    isAsked
      ? "tests of ranks are skipped: there is no mpirun (apt-get install openmpi-bin)\n"
      : "tests of ranks are skipped: set EIDOS_RANKS=1 to run them\n",
  );
}

export interface RankRun {
  readonly outcome: Promise<Outcome>;
  /** Sends a signal to a rank, which is found by its environment. @returns whether it was there */
  kill(rank: number, signal: NodeJS.Signals): boolean;
  /** Sends a signal to the launcher. */
  signal(signal: NodeJS.Signals): void;
}

/** Marks the ranks of one run among all processes. */
const MARK = "EIDOS_TEST_RANKS";
let runs = 0;

/** Starts the command as several ranks. */
export function startRanks(
  launcher: Launcher,
  count: number,
  args: readonly string[],
  cwd: string,
  environment: NodeJS.ProcessEnv = {},
): RankRun {
  const mark = `${process.pid}-${++runs}`;
  const child = spawn(
    launcher.command,
    [...launcher.arguments, "-np", String(count), process.execPath, main, ...args],
    {
      cwd,
      env: {
        ...process.env,
        ...environment,
        OMPI_ALLOW_RUN_AS_ROOT: "1",
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
        [MARK]: mark,
      },
    },
  );
  return {
    outcome: outcomeOf(child),
    kill: (rank, signal) => {
      const found = findRank(mark, rank);
      if (found !== undefined) process.kill(found, signal);
      return found !== undefined;
    },
    signal: (signal) => child.kill(signal),
  };
}

/** The process of a rank, by what its launcher has set in its environment. */
function findRank(mark: string, rank: number): number | undefined {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const variables = readFileSync(`/proc/${entry}/environ`, "utf8").split("\0");
      const isRank = variables.some(
        (text) => /^(OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)$/.exec(text)?.[2] === String(rank),
      );
      if (isRank && variables.includes(`${MARK}=${mark}`)) return Number(entry);
    } catch {
      // Another's process, or one that has ended meanwhile.
    }
  }
  return undefined;
}

/** Runs the command as several ranks, which is to succeed. */
export async function ranksSucceed(
  launcher: Launcher,
  count: number,
  args: readonly string[],
  cwd: string,
): Promise<Outcome> {
  const outcome = await startRanks(launcher, count, args, cwd).outcome;
  if (outcome.code !== 0) {
    throw new Error(`${count} ranks of eidos ${args.join(" ")}: code ${outcome.code}\n${outcome.stderr}`);
  }
  return outcome;
}

export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

export const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** Two runs agree at every row: loss and norm of the gradient to 1e-5 of what they are. */
export async function expectCloseRuns(one: string, other: string, steps: number): Promise<void> {
  const [a, b] = await Promise.all([one, other].map((folder) => timelessMetrics(folder)));
  expect(a).toHaveLength(steps);
  expect(b).toHaveLength(steps);
  a?.forEach((row, i) => {
    for (const name of ["loss", "gradientNorm", "validationLoss"]) {
      const [x, y] = [Number(row[name]), Number(b?.[i]?.[name])];
      expect(Math.abs(x - y), `${name} of row ${i}`).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(x)));
    }
  });
}

/** Two runs are the same, bit for bit. */
export async function expectSameRuns(one: string, other: string): Promise<void> {
  expect(await timelessMetrics(one)).toEqual(await timelessMetrics(other));
  const [a, b] = await Promise.all([one, other].map((folder) => new RunFolder(folder).readCheckpoint()));
  expect(a?.vectors).toEqual(b?.vectors);
}
