import { OptionError } from "../../errors.ts";
import type { StateOptions } from "../../model/capabilities.ts";
import { evenTimes } from "../../ode/index.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/index.ts";
import type { Condition } from "../objective/condition.ts";
import { startingDeviation } from "../path/noise-level.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import { type DiffusionSampleOptions, parseSampleOptions } from "../solver/options.ts";
import { normalRows, partLimit, scaled } from "../solver/session.ts";
import type { FlowPlan, SamplerPlan } from "../solver/solvers.ts";

/** `states` whole numbers from 0 to `last`, evenly, both ends among them. */
function evenly(last: number, states: number): ReadonlySet<number> {
  return new Set(Array.from({ length: states }, (_, i) => Math.round((i * last) / (states - 1))));
}

/** A flow cut into `parts`, one after the other. */
function partsOf(plan: FlowPlan, parts: number): readonly FlowPlan[] {
  const { times, method } = plan;
  const [from = 1, to = 0] = [times[0], times.at(-1)];
  const all = method === "dormand-prince" ? evenTimes(parts, from, to) : times;
  const marks = [...evenly(all.length - 1, Math.min(parts, all.length - 1) + 1)];
  return marks.slice(1).map((mark, i) => {
    const isLast = mark === all.length - 1;
    const between = all.slice(marks[i] ?? 0, mark + 1);
    return {
      ...plan,
      times: method === "dormand-prince" ? [between[0] ?? from, between.at(-1) ?? to] : between,
      denoise: plan.denoise && isLast,
    };
  });
}

/**
 * Samples as they form: at most `states` states of the solver from noise to the samples that `sample` draws with the same options,
 * each [count, …sampleShape] in data units. Where a state is wider than data, as on exploding paths, it is drawn together
 * to √(α² + σ²) = 1.
 * @throws OptionError where states is not a whole number from 2 on, or there are too many samples to be made at once
 */
export async function sampleStates(
  model: DiffusionCore,
  session: Session,
  {
    states,
    count,
    seed,
    label,
    onProgress,
    onState,
    ...others
  }: DiffusionSampleOptions & Pick<StateOptions, "states" | "onState">,
): Promise<readonly NdArray<"float32">[]> {
  const limit = partLimit(model.data);
  if (!Number.isInteger(states) || states < 2) {
    throw new OptionError(`option states: there are two ends, so at least 2, not ${states}`);
  }
  if (count > limit) throw new OptionError(`option count: at most ${limit} samples can be seen forming`);
  const { condition, units } = model;
  const { guidance, clip, ...settings } = parseSampleOptions(others);
  condition.check(label);
  const plan = model.plan(settings);
  const random = new Random(seed).split("sample");
  const randoms = Array.from({ length: count }, (_, i) => random.split(i));
  const given = {
    labels: condition.draw(randoms, label),
    guidance: guidance ?? (model.data.kind === "image" ? 2 : 1),
    ...(clip !== undefined && { clip }),
  };
  const shown = (x: NdArray<"float32">, time: number): NdArray<"float32"> => {
    onState?.({ kind: "time", time });
    return units.arrayToData(scaled(x, 1 / Math.max(1, startingDeviation(model.process.at(time)))));
  };
  const start = model.startOf(plan, randoms);
  const work = { model, session, start, condition: given, states, shown };
  const made = await (plan.kind === "flow"
    ? flowStates(work, plan, onProgress)
    : tableStates(work, plan, (row) => normalRows(randoms, model.data.sampleShape, row), onProgress));
  onState?.({ kind: "time", time: 0 });
  return made;
}

interface Work {
  readonly model: DiffusionCore;
  readonly session: Session;
  readonly start: NdArray<"float32">;
  readonly condition: Condition;
  readonly states: number;
  /** A state at a time in data units, as it is to be shown. */
  readonly shown: (x: NdArray<"float32">, time: number) => NdArray<"float32">;
}

async function tableStates(
  { model, session, start, condition, states, shown }: Work,
  plan: Extract<SamplerPlan, { kind: "table" }>,
  noise: (row: number) => NdArray<"float32">,
  onProgress: ((share: number) => void) | undefined,
): Promise<readonly NdArray<"float32">[]> {
  const { rows } = plan.table;
  const marks = evenly(rows.length, Math.min(states, rows.length + 1));
  const seen = [shown(start, rows[0]?.time ?? 1)];
  const end = await model.follow(session, plan, start, condition, {
    noise,
    onProgress,
    onRow: async (x, done) => {
      if (!marks.has(done) || done === rows.length) return undefined;
      seen.push(shown((await x.read()) as NdArray<"float32">, rows[done - 1]?.next ?? 0));
      return undefined;
    },
  });
  return [...seen, model.units.arrayToData(end)];
}

async function flowStates(
  { model, session, start, condition, states, shown }: Work,
  plan: FlowPlan,
  onProgress: ((share: number) => void) | undefined,
): Promise<readonly NdArray<"float32">[]> {
  const seen = [shown(start, plan.times[0] ?? 1)];
  const parts = partsOf(plan, states - 1);
  let state = start;
  for (const [i, part] of parts.entries()) {
    state = await model.follow(session, part, state, condition);
    onProgress?.((i + 1) / parts.length);
    seen.push(i === parts.length - 1 ? model.units.arrayToData(state) : shown(state, part.times.at(-1) ?? 0));
  }
  return seen;
}
