import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Random } from "../../../src/random.ts";
import type { Budget, Kind, Report } from "../kind.ts";
import { damageOf } from "./compare.ts";
import {
  FITS,
  type Fit,
  finish,
  isOneLine,
  makeData,
  nextArgs,
  type Reference,
  References,
  start,
} from "./fits.ts";

// A disk that is full, or files that may not grow, at a random place of a fit: one clear line, nothing half-written, and where there
// is room again the run ends as the undisturbed one.

/** What is in the way: files of at most so many kilobytes, or a disk of so many. */
interface Limit {
  readonly kind: "file" | "disk";
  readonly kilobytes: number;
}

const ROWS: Readonly<Record<Limit["kind"], string>> = {
  file: "files that may not grow",
  disk: "a full disk",
};

/** Mounts a small disk. False where this machine does not let us. */
function mount(folder: string, options: string): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Sizes in kilobytes of the files of a finished run. */
function sizesOf(folder: string): readonly number[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names
    .map((name) => statSync(join(folder, name)))
    .flatMap((found) => (found.isFile() ? [Math.ceil(found.size / 1024)] : []));
}

function drawLimit(random: Random, kind: Limit["kind"], reference: Reference): Limit {
  const sizes = sizesOf(reference.folder);
  const most = kind === "file" ? Math.max(...sizes) : sizes.reduce((sum, size) => sum + size, 0);
  return { kind, kilobytes: 1 + random.integer(Math.max(1, Math.ceil(1.1 * most))) };
}

/** Fits against a limit, then without it. Returns false where this machine cannot have that limit. */
async function against(
  fit: Fit,
  cwd: string,
  limit: Limit,
  reference: Reference,
  report: Report,
): Promise<boolean> {
  const row = ROWS[limit.kind];
  const place = join(cwd, "disk");
  const details = { fit: fit.name, limit };
  await mkdir(place, { recursive: true });
  const isMounted = limit.kind === "disk" && mount(place, `size=${limit.kilobytes}k`);
  if (limit.kind === "disk" && !isMounted) return false;
  try {
    const out = join("disk", "run");
    const folder = join(cwd, out);
    // The limit of sh is in blocks of 512 bytes.
    const shell = limit.kind === "file" ? `ulimit -f ${2 * limit.kilobytes};` : undefined;
    const { code, signal, stderr } = await start(nextArgs(fit, cwd, out), cwd, shell).outcome;
    report.count(row, "fits");
    if (code !== 0 && !(code === 1 && isOneLine(stderr))) {
      const fault = code === null || code > 128 ? "crash" : "untyped";
      await report.fault(row, {
        fault,
        message: `${fit.name}, ${limit.kilobytes} kB: ${signal ?? `code ${code}`}: ${stderr.trim().slice(0, 300)}`,
        details,
        folder,
      });
    }
    const { damage } = await damageOf(folder);
    if (damage !== undefined) await report.fault(row, { fault: "lost", message: damage, details, folder });
    const halves = existsSync(folder)
      ? readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.includes(".tmp"))
      : [];
    if (halves.length > 0)
      await report.fault(row, {
        fault: "lost",
        message: `half-written: ${halves.join(", ")}`,
        details,
        folder,
      });
    if (isMounted) execFileSync("mount", ["-o", "remount,size=64m", place]);
    await finish(fit, cwd, out, reference, report, row, details);
  } finally {
    if (isMounted) execFileSync("umount", ["-l", place], { stdio: "ignore" });
    await rm(place, { recursive: true, force: true });
  }
  return true;
}

export const disk: Kind = {
  name: "disk",
  share: 2,

  async run(budget: Budget, random: Random, report: Report): Promise<void> {
    const cwd = report.folder;
    await makeData(cwd);
    const references = new References(cwd);
    const kinds: Limit["kind"][] = ["file", "disk"];
    for (const kind of kinds) report.count(ROWS[kind], "fits", 0);
    for (let number = 0; budget.left > 0; number++) {
      const fit = FITS[number % FITS.length];
      const kind = kinds[number % kinds.length];
      if (fit === undefined || kind === undefined) break;
      const reference = await references.of(fit);
      if (budget.left < 2 * reference.seconds) break;
      const begun = performance.now();
      const could = await against(
        fit,
        cwd,
        drawLimit(random.split(number), kind, reference),
        reference,
        report,
      );
      report.count(ROWS[kind], "fits", 0, (performance.now() - begun) / 1000);
      report.progress(`${number + 1} fits`);
      if (could) continue;
      report.note(ROWS[kind], "this machine does not let us mount a file system");
      kinds.splice(kinds.indexOf(kind), 1);
    }
  },

  async replay(details, _kept, report): Promise<void> {
    const cwd = report.folder;
    await makeData(cwd);
    const fit = FITS.find(({ name }) => name === details.fit);
    if (fit === undefined) throw new Error(`there is no fit ${details.fit}`);
    await against(fit, cwd, details.limit as Limit, await new References(cwd).of(fit), report);
  },
};
