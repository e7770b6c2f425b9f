import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../../src/random.ts";
import type { Budget, Kind, Report } from "../kind.ts";
import { damageOf } from "./compare.ts";
import {
  FITS,
  type Fit,
  finish,
  isFinished,
  isOneLine,
  makeData,
  nextArgs,
  type Outcome,
  type Reference,
  References,
  start,
} from "./fits.ts";

// Random signals at random times of every kind of fit. Killed once or more and resumed each time, a run must end as the
// undisturbed one, bit for bit; after each kill everything in its folder must be readable, and no step be gone.

const SIGNALS = { SIGKILL: 9, SIGTERM: 15, SIGINT: 2, SIGHUP: 1 } as const;
type Signal = keyof typeof SIGNALS;

/** One interruption. */
interface Kill {
  readonly signal: Signal;
  /** Milliseconds after the start of the command. */
  readonly after: number;
  /** Milliseconds after which the same signal comes again. */
  readonly again: number | undefined;
}

/** Half of all are the signal that nothing can answer. */
function drawKill(random: Random, seconds: number): Kill {
  const signal =
    (["SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"] as const)[random.integer(6)] ??
    "SIGKILL";
  const again = signal !== "SIGKILL" && random.integer(3) === 0 ? 20 + 400 * random.uniform() : undefined;
  return { signal, after: 1000 * seconds * random.uniform(), again };
}

/** What is wrong with how an interrupted command ended; undefined where nothing is. */
function wrongEnd(
  { signal: sent }: Kill,
  { code, signal, stderr }: Outcome,
): { readonly fault: "crash" | "untyped" | "lost"; readonly message: string } | undefined {
  const how = `after ${sent}: ${signal ?? `code ${code}`}`;
  // A signal that comes before the command listens ends it as it ends any program.
  if (signal === sent || code === 0 || code === 128 + SIGNALS[sent] || (code === 1 && isFinished(stderr)))
    return undefined;
  if (signal !== null || code === null || code > 128)
    return { fault: "crash", message: `${how}: ${stderr.trim().slice(-300)}` };
  return { fault: isOneLine(stderr) ? "lost" : "untyped", message: `${how}: ${stderr.trim().slice(-300)}` };
}

/** Interrupts a run as often as is planned, lets it come to its end and compares it. */
async function chain(
  fit: Fit,
  cwd: string,
  out: string,
  plan: readonly Kill[],
  reference: Reference,
  report: Report,
): Promise<number> {
  const row = `kills: ${fit.name}`;
  const folder = join(cwd, out);
  const details = { fit: fit.name, plan };
  const begun = performance.now();
  let kills = 0;
  let reached = 0;
  for (const kill of plan) {
    const running = start(nextArgs(fit, cwd, out), cwd);
    await Promise.race([sleep(kill.after), running.outcome]);
    if (!running.ended()) {
      kills++;
      report.count(row, "kills");
      running.kill(kill.signal);
      if (kill.again !== undefined) {
        await Promise.race([sleep(kill.again), running.outcome]);
        if (!running.ended()) running.kill(kill.signal);
      }
    }
    const wrong = wrongEnd(kill, await running.outcome);
    if (wrong !== undefined) await report.fault(row, { ...wrong, details, folder });
    const { step, damage } = await damageOf(folder);
    if (damage !== undefined) await report.fault(row, { fault: "lost", message: damage, details, folder });
    else if (step < reached)
      await report.fault(row, {
        fault: "lost",
        message: `at step ${step}, after step ${reached}`,
        details,
        folder,
      });
    reached = step;
  }
  await finish(fit, cwd, out, reference, report, row, details);
  report.count(row, "runs", 1, (performance.now() - begun) / 1000);
  await rm(folder, { recursive: true, force: true });
  return kills;
}

export const kills: Kind = {
  name: "kills",
  share: 10,

  async run(budget: Budget, random: Random, report: Report): Promise<void> {
    const cwd = report.folder;
    await makeData(cwd);
    const references = new References(cwd);
    const queue = [...FITS];
    let number = 0;
    let done = 0;
    const tried = new Set<string>();
    // Two at a time, for a machine of two cores.
    await Promise.all(
      [0, 1].map(async () => {
        for (let fit = queue.shift(); fit !== undefined; fit = queue.shift()) {
          queue.push(fit);
          if (budget.left <= 0) return;
          const reference = await references.of(fit);
          const chosen = random.split(number);
          const out = `killed-${number++}`;
          const plan = Array.from({ length: 2 + chosen.integer(3) }, () =>
            drawKill(chosen, reference.seconds),
          );
          // The time that they take is known about: a run that cannot come to its end in time is not begun.
          if (budget.left < reference.seconds * (1 + plan.length / 2)) return;
          tried.add(fit.name);
          done += await chain(fit, cwd, out, plan, reference, report);
          report.progress(`${done} kills`);
        }
      }),
    );
    for (const { name } of FITS) if (!tried.has(name)) report.note(`kills: ${name}`, "no time was left");
  },

  async replay(details, _kept, report): Promise<void> {
    const cwd = report.folder;
    await makeData(cwd);
    const fit = FITS.find(({ name }) => name === details.fit);
    if (fit === undefined) throw new Error(`there is no fit ${details.fit}`);
    const reference = await new References(cwd).of(fit);
    await chain(fit, cwd, "killed", details.plan as readonly Kill[], reference, report);
  },
};
