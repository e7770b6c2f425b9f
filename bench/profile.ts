import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eidosWorks } from "./eidos-works.ts";

/** The time of all nodes of one kind in one run. */
export interface OperationShare {
  readonly operation: string;
  readonly nodes: number;
  readonly milliseconds: number;
  /** Of the time of all nodes. */
  readonly share: number;
}

interface TraceEvent {
  readonly cat?: string;
  readonly name: string;
  readonly dur: number;
  readonly args?: {
    readonly op_name?: string;
    readonly provider?: string;
    readonly input_type_shape?: readonly Readonly<Record<string, readonly number[]>>[];
  };
}

/** Convolutions by what they do, since one operator does much in blocked layout; other operators by name. */
function kindOf(operator: string, shapes: readonly (readonly number[])[]): string {
  const [x, weight] = shapes;
  if (!operator.endsWith("Conv") || x === undefined || weight === undefined) return operator;
  const [, channels = 1, rows = 1, columns = 1] = weight;
  const size = `${rows}×${columns}`;
  if (rows > 3) return "Conv: gradient of a kernel";
  if (channels === 1 && (x[1] ?? 1) > 1) return `Conv: depthwise ${size}`;
  return `Conv: ${size}`;
}

/**
 * Where the time of a work goes by the runtime's own profiler, with one thread: for every node the least time of all
 * repetitions, added up by kind, longest first.
 */
export async function operationShares(work: string, repetitions: number): Promise<readonly OperationShare[]> {
  const folder = mkdtempSync(join(tmpdir(), "eidos-profile-"));
  try {
    const prepared = await eidosWorks({ replicas: 1, threads: 1, profile: join(folder, "p") })[work]?.();
    if (prepared === undefined) throw new Error(`there is no work ${work}`);
    for (let i = 0; i < repetitions; i++) await prepared.run();
    await prepared.release?.();
    const nodes = new Map<string, { readonly kind: string; readonly least: number }>();
    for (const file of readdirSync(folder)) {
      const events: readonly TraceEvent[] = JSON.parse(readFileSync(join(folder, file), "utf8"));
      for (const { cat, name, dur, args } of events) {
        if (cat !== "Node" || !name.endsWith("_kernel_time")) continue;
        const shapes = (args?.input_type_shape ?? []).map((entry) => Object.values(entry)[0] ?? []);
        const key = `${file} ${name}`;
        const least = Math.min(dur, nodes.get(key)?.least ?? Number.POSITIVE_INFINITY);
        nodes.set(key, { kind: kindOf(args?.op_name ?? name, shapes), least });
      }
    }
    const total = [...nodes.values()].reduce((sum, { least }) => sum + least, 0);
    const kinds = new Map<string, { nodes: number; time: number }>();
    for (const { kind, least } of nodes.values()) {
      const held = kinds.get(kind) ?? { nodes: 0, time: 0 };
      kinds.set(kind, { nodes: held.nodes + 1, time: held.time + least });
    }
    return [...kinds]
      .map(([operation, { nodes: count, time }]) => ({
        operation,
        nodes: count,
        milliseconds: time / 1000,
        share: time / total,
      }))
      .sort((a, b) => b.milliseconds - a.milliseconds);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
