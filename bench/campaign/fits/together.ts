import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../../src/random.ts";
import type { Budget, Kind, Report } from "../kind.ts";
import { damageOf, differences } from "./compare.ts";
import {
  FITS,
  type Fit,
  isOneLine,
  makeData,
  nextArgs,
  type Outcome,
  type Reference,
  References,
  start,
} from "./fits.ts";

// Two processes that want one run at the same time, and a reader beside them: one of the two goes on, the other is told so in one
// line, and the run ends as the undisturbed one.

const ROW = "two processes at one run";

/** How two processes meet. */
interface Meeting {
  /** Whether both go on with a run that was killed, or both begin one. */
  readonly what: "resume" | "begin";
  /** Milliseconds after which the first of them is killed, where they go on. */
  readonly killed: number;
  /** Milliseconds between the two. */
  readonly apart: number;
}

/** Reads the run until a process has ended, as `eidos runs` or a notebook would. */
async function readMeanwhile(folder: string, ended: () => boolean): Promise<string | undefined> {
  while (!ended()) {
    const { damage } = await damageOf(folder);
    if (damage !== undefined) return damage;
    await sleep(25);
  }
  return undefined;
}

/** A process that was not the one to go on says so in one line. */
const isRefused = ({ code, stderr }: Outcome): boolean => code === 1 && isOneLine(stderr);

async function meet(
  fit: Fit,
  cwd: string,
  out: string,
  meeting: Meeting,
  reference: Reference,
  report: Report,
): Promise<void> {
  const folder = join(cwd, out);
  const details = { fit: fit.name, meeting };
  const { what, killed, apart } = meeting;
  if (what === "resume") {
    const first = start(nextArgs(fit, cwd, out), cwd);
    // What matters begins with config.json: before it, there is no run to go on with.
    while (!first.ended() && !existsSync(join(folder, "config.json"))) await sleep(5);
    await Promise.race([sleep(killed), first.outcome]);
    first.kill("SIGKILL");
    await first.outcome;
  }
  const args = what === "resume" ? ["fit", "--resume", out, "--quiet"] : [...fit.args, "--out", out];
  const one = start(args, cwd);
  await sleep(apart);
  const two = start(args, cwd);
  const [a, b, damage] = await Promise.all([
    one.outcome,
    two.outcome,
    readMeanwhile(folder, () => one.ended() && two.ended()),
  ]);
  report.count(ROW, "meetings");
  const said = `${a.code} and ${b.code}: ${[a, b]
    .map(({ stderr }) => stderr.trim())
    .join(" | ")
    .slice(0, 300)}`;
  const fault = (name: "mixed" | "lost" | "untyped", message: string) =>
    report.fault(ROW, { fault: name, message, details, folder });
  if (damage !== undefined) await fault("mixed", `what is being written cannot be read: ${damage}`);
  if (a.code === 0 && b.code === 0) return fault("mixed", `both went on (${fit.name})`);
  const [winner, other] = a.code === 0 ? [a, b] : [b, a];
  if (winner.code !== 0) return fault("lost", `none of the two went on: ${said}`);
  if (!isRefused(other)) return fault("untyped", `the other did not end with one line: ${said}`);
  const found = await differences(reference.folder, folder);
  if (found.length > 0) await fault("mixed", `not as the undisturbed run: ${found.join(", ")}`);
}

export const together: Kind = {
  name: "together",
  share: 2,

  async run(budget: Budget, random: Random, report: Report): Promise<void> {
    const cwd = report.folder;
    await makeData(cwd);
    const references = new References(cwd);
    for (let number = 0; budget.left > 0; number++) {
      const fit = FITS[number % FITS.length];
      if (fit === undefined) break;
      const reference = await references.of(fit);
      if (budget.left < 2.5 * reference.seconds) break;
      const chosen = random.split(number);
      const what = number % 3 === 2 ? "begin" : "resume";
      const meeting: Meeting = {
        what,
        killed: 600 * chosen.uniform(),
        apart: chosen.integer(3) === 0 ? 0 : 400 * chosen.uniform(),
      };
      const begun = performance.now();
      await meet(fit, cwd, `shared-${number}`, meeting, reference, report);
      await rm(join(cwd, `shared-${number}`), { recursive: true, force: true });
      report.count(ROW, "meetings", 0, (performance.now() - begun) / 1000);
      report.progress(`${number + 1} meetings`);
    }
    report.count(ROW, "meetings", 0);
  },

  async replay(details, _kept, report): Promise<void> {
    const cwd = report.folder;
    await makeData(cwd);
    const fit = FITS.find(({ name }) => name === details.fit);
    if (fit === undefined) throw new Error(`there is no fit ${details.fit}`);
    await meet(fit, cwd, "shared", details.meeting as Meeting, await new References(cwd).of(fit), report);
  },
};
