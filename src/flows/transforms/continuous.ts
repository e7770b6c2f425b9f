import {
  evenTimes,
  FIXED_STEP_METHODS,
  type FixedStepMethod,
  integrateUnrolled,
  stageTimes,
  type UnrolledOptions,
} from "../../ode/index.ts";
import { constant, float32, isTraining, normal, type Tensor, uniform, where } from "../../tensor/index.ts";
import type { FieldAtTime, VelocityField } from "./continuous-field.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

/** Dimensions up to which the exact trace is worth a tangent for each of them. */
const EXACT_TRACE_DIMENSIONS = 16;

export const TRACES = ["auto", "exact", "hutchinson"] as const;

export const PROBES = ["rademacher", "gaussian"] as const;

export interface ContinuousOptions {
  /** How the equation is integrated inside a graph. */
  readonly solver: FixedStepMethod;
  /** Steps from data to noise in training. */
  readonly steps: number;
  /** Steps in graphs outside of training, where no gradient is kept and more cost little (default: as many as there). */
  readonly evaluationSteps?: number;
  /** How the trace of the Jacobian is found; `auto` is exact where that is cheap or there are few dimensions. */
  readonly trace: (typeof TRACES)[number];
  /** Distribution of Hutchinson's probe. */
  readonly probe: (typeof PROBES)[number];
}

/** The end of a course from data to noise, with integrals over it, each [n]. */
export interface Course extends Forward {
  /** ∫ ‖f‖² dt (Finlay et al. 2020, "RNODE", equation 8). */
  readonly kinetic: Tensor;
  /** ∫ ‖(∂f/∂x) ε‖² dt for a probe ε: on average the squared Frobenius norm of the Jacobian (equation 9). */
  readonly jacobian: Tensor;
}

/**
 * A continuous normalizing flow as a transform (Chen et al. 2018, "Neural ordinary differential equations", section 4;
 * Grathwohl et al. 2019, "FFJORD"): rows follow dx/dt = f(x, t) from data at t = 0 to noise at t = 1, and
 * log |det ∂x(1)/∂x(0)| = ∫ tr(∂f/∂x) dt. Both are integrated with fixed steps, so the inverse undoes the map, and the
 * log-determinant is that of the map, up to the error of the solver. Hutchinson's estimate of the trace, εᵀ (∂f/∂x) ε,
 * draws one probe ε for each row and holds it through the integration.
 */
export class ContinuousTransform implements Transform {
  readonly field: VelocityField;
  readonly options: ContinuousOptions;

  constructor(field: VelocityField, options: ContinuousOptions) {
    this.field = field;
    this.options = options;
  }

  /** Whether the trace is computed exactly. */
  get isExact(): boolean {
    const { trace } = this.options;
    if (trace !== "auto") return trace === "exact";
    return this.field.hasCheapTrace || this.field.dimensions <= EXACT_TRACE_DIMENSIONS;
  }

  forward(x: Tensor, context?: Tensor): Forward {
    const [y, logDet] = this.integrate(x, context, 0, 1);
    return { y, logDet };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    const [x, logDet] = this.integrate(y, context, 1, 0);
    return { x, logDet };
  }

  /**
   * `forward` with the integrals that regularize training. That of the Jacobian is a sum over the beginnings of the
   * steps: a product with the Jacobian costs as much as a velocity.
   */
  course(x: Tensor, context?: Tensor): Course {
    const probe = this.drawProbe(x);
    const fields = this.fields(0, 1, context);
    const none = noVolumeChange(x);
    const query = this.isExact ? { trace: true } : { probe };
    const unrolled = this.unrolled(0, 1);
    const times = evenTimes(unrolled.steps, 0, 1);
    let state: readonly Tensor[] = [x, none, none];
    let jacobian = none;
    times.slice(1).forEach((to, i) => {
      const from = times[i] ?? 0;
      const start = state[0] ?? x;
      const first = fieldAt(fields, from).evaluate(start, { ...query, probe });
      const product = asked(first.product);
      jacobian = jacobian.add(
        product
          .square()
          .sum(1)
          .mul(to - from),
      );
      state = integrateUnrolled(
        ([at = x], time) => {
          const found = at === start ? first : fieldAt(fields, time).evaluate(at, query);
          const trace = this.isExact ? asked(found.trace) : asked(found.product).mul(probe).sum(1);
          return [found.velocity, trace, found.velocity.square().sum(1)];
        },
        state,
        { ...unrolled, steps: 1, from, to },
      );
    });
    const [y = x, logDet = none, kinetic = none] = state;
    return { y, logDet, kinetic, jacobian };
  }

  /** The states at evenly spaced times from noise (t = 1, y itself) to data (t = 0), `parts` of them after y. */
  path(y: Tensor, context: Tensor | undefined, parts: number): readonly Tensor[] {
    const states = [y];
    const steps = Math.max(1, Math.ceil(this.steps / parts));
    for (let k = 0; k < parts; k++) {
      const [from, to] = [1 - k / parts, 1 - (k + 1) / parts];
      const fields = this.fields(from, to, context, steps);
      const [x] = integrateUnrolled(
        ([state = y], time) => [fieldAt(fields, time).evaluate(state).velocity],
        [states.at(-1) ?? y],
        { ...this.unrolled(from, to), steps },
      );
      if (x !== undefined) states.push(x);
    }
    return states;
  }

  /** The velocity and the trace, or its estimate, at one time [1]. */
  velocityAndTrace(
    x: Tensor,
    time: Tensor,
    context: Tensor | undefined,
    probe: Tensor | undefined,
  ): readonly [velocity: Tensor, trace: Tensor] {
    const [field] = this.field.at(time, context);
    if (field === undefined) throw new TypeError("a velocity is asked for at no time");
    return tracedVelocity(field, x, probe);
  }

  /** The velocity at one time [1]. */
  velocity(x: Tensor, time: Tensor, context: Tensor | undefined): Tensor {
    const [field] = this.field.at(time, context);
    if (field === undefined) throw new TypeError("a velocity is asked for at no time");
    return field.evaluate(x).velocity;
  }

  private integrate(x: Tensor, context: Tensor | undefined, from: number, to: number): [Tensor, Tensor] {
    const probe = this.isExact ? undefined : this.drawProbe(x);
    const fields = this.fields(from, to, context);
    return integrateUnrolled(
      ([state = x], time) => tracedVelocity(fieldAt(fields, time), state, probe),
      [x, noVolumeChange(x)],
      this.unrolled(from, to),
    ) as [Tensor, Tensor];
  }

  private get steps(): number {
    const { steps, evaluationSteps = steps } = this.options;
    return isTraining() ? steps : evaluationSteps;
  }

  private unrolled(from: number, to: number): UnrolledOptions {
    return { method: FIXED_STEP_METHODS[this.options.solver], steps: this.steps, from, to };
  }

  /** The field at all times that an integration asks for: what depends on time alone is computed for all at once. */
  private fields(
    from: number,
    to: number,
    context: Tensor | undefined,
    steps = this.steps,
  ): ReadonlyMap<number, FieldAtTime> {
    const times = stageTimes({ ...this.unrolled(from, to), steps });
    const fields = this.field.at(constant(float32(times, [times.length])), context);
    return new Map(fields.map((field, i) => [times[i] ?? from, field]));
  }

  private drawProbe(x: Tensor): Tensor {
    return this.options.probe === "gaussian"
      ? normal(x.shape)
      : where(uniform(x.shape).less(0.5), constant(1), constant(-1));
  }
}

function tracedVelocity(
  field: FieldAtTime,
  x: Tensor,
  probe: Tensor | undefined,
): readonly [velocity: Tensor, trace: Tensor] {
  if (probe === undefined) {
    const { velocity, trace } = field.evaluate(x, { trace: true });
    return [velocity, asked(trace)];
  }
  const { velocity, product } = field.evaluate(x, { probe });
  return [velocity, asked(product).mul(probe).sum(1)];
}

function asked(value: Tensor | undefined): Tensor {
  if (value === undefined) throw new TypeError("a velocity field left out a derivative that was asked for");
  return value;
}

function fieldAt(fields: ReadonlyMap<number, FieldAtTime>, time: number): FieldAtTime {
  const field = fields.get(time);
  if (field === undefined) throw new TypeError(`no field was prepared for time ${time}`);
  return field;
}
