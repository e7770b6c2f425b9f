import { OptionError } from "../../errors.ts";
import { type AdaptiveOptions, evenTimes, type FixedStepMethod } from "../../ode/index.ts";
import { startingDeviation } from "../path/noise-level.ts";
import {
  flowEnd,
  isContinuous,
  pathOf,
  type SolverSubject,
  type Spacing,
  samplerEnds,
  samplerLevels,
} from "./levels.ts";
import { SOLVERS, type SolverInput, type SolverName, type SolverSettings } from "./options.ts";
import {
  ddim,
  ddpm,
  dpmSolver,
  edm,
  probabilityFlow,
  reverseSde,
  withLangevinCorrector,
} from "./samplers.ts";
import type { SolverTable } from "./table.ts";

/** Which equation a solver outside of a graph follows, and from when to when. */
export interface FlowPlan {
  readonly kind: "flow";
  readonly method: FixedStepMethod | "dormand-prince";
  /** Times of fixed steps; the first and the last for `dormand-prince`. */
  readonly times: readonly number[];
  /** Whether the estimate of the data is taken at the end, where the state still has some noise. */
  readonly denoise: boolean;
  /** Deviation of the noise that the first time begins with. */
  readonly deviation: number;
  /** Of `dormand-prince`. */
  readonly tolerance: Pick<AdaptiveOptions, "rtol" | "atol" | "maxEvaluations">;
}

/** How samples are to be made: rows of a table, one program each, or the flow by a method that takes velocities. */
export type SamplerPlan = { readonly kind: "table"; readonly table: SolverTable } | FlowPlan;

/** Options that belong to some solvers; given to another they are a mistake. */
type OwnOption = Exclude<keyof SolverInput, "solver" | "steps" | "rtol" | "atol" | "maxEvaluations">;

/** A solver as the command knows it. */
export interface SolverDefinition {
  /** One line on what it is, with the paper. */
  readonly summary: string;
  /** Default steps; no more than a chain has, by default. */
  readonly steps: number;
  /** Options it takes, beside the number of steps. */
  readonly options: readonly OwnOption[];
  /** Network evaluations of a number of steps; undefined where the solver decides. */
  readonly evaluations: ((steps: number, settings: SolverInput) => number) | undefined;
  /** Why it cannot work with a model; undefined where it can. */
  readonly unfit: (subject: SolverSubject) => string | undefined;
  readonly plan: (
    subject: SolverSubject,
    settings: SolverSettings & { readonly steps: number },
  ) => SamplerPlan;
}

const anything = (): undefined => undefined;

function needsPath({ process }: SolverSubject): string | undefined {
  return isContinuous(process)
    ? undefined
    : "it follows a differential equation, and this model is a chain of steps";
}

function needsRatio({ process }: SolverSubject): string | undefined {
  return isContinuous(process) || process.level(process.steps).alpha > 0
    ? undefined
    : "it divides the noise by the signal, and this chain ends without any";
}

/** How steps lie, by default. */
function usualSpacing({ process }: SolverSubject): Spacing {
  return isContinuous(process) ? "uniform" : "trailing";
}

/** A solver whose levels are chosen by `spacing`. */
function levelSolver(
  definition: Omit<SolverDefinition, "plan" | "unfit"> & Partial<Pick<SolverDefinition, "unfit">>,
  tableOf: (
    subject: SolverSubject,
    settings: SolverSettings & { readonly steps: number; readonly spacing: Spacing },
  ) => SolverTable,
  spacingOf: (subject: SolverSubject) => Spacing = usualSpacing,
): SolverDefinition {
  return {
    unfit: anything,
    ...definition,
    options: [...definition.options, "spacing"],
    plan: (subject, settings) => ({
      kind: "table",
      table: tableOf(subject, { ...settings, spacing: settings.spacing ?? spacingOf(subject) }),
    }),
  };
}

/** A method of `eidos/ode` for the probability flow. */
function flowSolver(
  method: FlowPlan["method"],
  stages: number | undefined,
  summary: string,
): SolverDefinition {
  return {
    summary,
    steps: 25,
    options: [],
    evaluations: stages === undefined ? undefined : (steps) => stages * steps,
    unfit: needsPath,
    plan: (subject, { steps, rtol, atol, maxEvaluations }) => {
      const { noisy: from } = samplerEnds(subject);
      const { to, denoise } = flowEnd(subject);
      return {
        kind: "flow",
        method,
        times: method === "dormand-prince" ? [from, to] : evenTimes(steps, from, to),
        denoise,
        deviation: startingDeviation(subject.process.at(from)),
        tolerance: { rtol, atol, maxEvaluations },
      };
    },
  };
}

/** A probability-flow method that is a table. */
function flowTable(method: "euler" | "heun", stages: number, summary: string): SolverDefinition {
  return levelSolver(
    {
      summary,
      steps: 25,
      options: [],
      evaluations: (steps) => stages * steps - (stages - 1),
      unfit: needsPath,
    },
    (subject, { steps, spacing }) =>
      probabilityFlow(samplerLevels(pathOf(subject.process), steps, spacing, samplerEnds(subject)), {
        method,
      }),
  );
}

const one = (steps: number): number => steps;

/** Every solver by name. */
export const solvers: Readonly<Record<SolverName, SolverDefinition>> = {
  ddpm: levelSolver(
    {
      summary: "ancestral sampling of the reverse chain (Ho et al. 2020; on other paths Song et al. 2021)",
      steps: 1000,
      options: ["variance"],
      evaluations: one,
    },
    (subject, { steps, spacing, variance = subject.variance }) => {
      if (variance === "learned" && subject.variance !== "learned") {
        throw new OptionError("option variance: this model has not learned one; choose lower or upper");
      }
      return ddpm(samplerLevels(subject.process, steps, spacing, samplerEnds(subject)), { variance });
    },
  ),
  ddim: levelSolver(
    {
      summary:
        "deterministic steps of the same network, or with a share of the noise (Song, Meng and Ermon 2021)",
      steps: 50,
      options: ["eta"],
      evaluations: one,
    },
    (subject, { steps, spacing, eta = 0 }) =>
      ddim(samplerLevels(subject.process, steps, spacing, samplerEnds(subject)), { eta }),
  ),
  "dpm++": levelSolver(
    {
      summary: "DPM-Solver++(2M): second order with one evaluation a step (Lu et al. 2022)",
      steps: 20,
      options: ["order"],
      evaluations: one,
    },
    (subject, { steps, spacing, order = 2 }) =>
      dpmSolver(samplerLevels(subject.process, steps, spacing, samplerEnds(subject)), {
        order: order === 1 ? 1 : 2,
      }),
  ),
  edm: levelSolver(
    {
      summary: "Heun's method in σ / α, with noise added at each step if wanted (Karras et al. 2022)",
      steps: 18,
      options: ["order", "churn", "churnLeast", "churnLargest", "churnNoise"],
      evaluations: (steps, { order = 2 }) => order * steps - (order - 1),
      unfit: needsRatio,
    },
    (subject, settings) => {
      const { steps, order = 2, churn, churnLeast, churnLargest, churnNoise } = settings;
      const levels = samplerLevels(subject.process, steps, settings.spacing, samplerEnds(subject, true));
      return edm(levels, {
        order: order === 1 ? 1 : 2,
        ...(churn !== undefined && {
          churn: {
            amount: churn,
            ...(churnLeast !== undefined && { least: churnLeast }),
            ...(churnLargest !== undefined && { largest: churnLargest }),
            ...(churnNoise !== undefined && { noise: churnNoise }),
            levels: subject.process,
          },
        }),
      });
    },
    () => "karras",
  ),
  euler: flowTable("euler", 1, "Euler's method in time for the probability flow: order 1"),
  midpoint: flowSolver("midpoint", 2, "the midpoint rule for the probability flow: order 2"),
  heun: flowTable("heun", 2, "Heun's method in time for the probability flow: order 2"),
  rk4: flowSolver("rk4", 4, "the classical Runge–Kutta method for the probability flow: order 4"),
  "dormand-prince": flowSolver(
    "dormand-prince",
    undefined,
    "the probability flow with steps chosen to a tolerance: order 5",
  ),
  "euler-maruyama": levelSolver(
    {
      summary: "Euler–Maruyama steps of the reverse-time stochastic equation (Song et al. 2021)",
      steps: 500,
      options: ["noiseScale"],
      evaluations: one,
      unfit: needsPath,
    },
    (subject, { steps, spacing, noiseScale = 1 }) =>
      reverseSde(samplerLevels(pathOf(subject.process), steps, spacing, samplerEnds(subject, true)), {
        noiseScale,
      }),
  ),
  "predictor-corrector": levelSolver(
    {
      summary: "ancestral steps, each followed by Langevin steps at its level (Song et al. 2021)",
      steps: 250,
      options: ["correctorSteps", "correctorRatio"],
      evaluations: (steps, { correctorSteps = 1 }) => steps + (steps - 1) * correctorSteps,
    },
    (subject, { steps, spacing, correctorSteps = 1, correctorRatio }) => {
      const levels = samplerLevels(subject.process, steps, spacing, samplerEnds(subject));
      return withLangevinCorrector(ddpm(levels), levels, {
        steps: correctorSteps,
        ...(correctorRatio !== undefined && { ratio: correctorRatio }),
      });
    },
  ),
};

/** The solvers that can serve a model. */
export function solversFor(subject: SolverSubject): readonly SolverName[] {
  return SOLVERS.filter((name) => solvers[name].unfit(subject) === undefined);
}

/**
 * How a solver makes samples of a model.
 * @throws OptionError where the solver cannot serve the model, naming those that can, or it does not take an option
 */
export function samplerPlan(
  subject: SolverSubject,
  settings: SolverSettings & { readonly solver: SolverName },
): SamplerPlan {
  const { solver } = settings;
  const { unfit, options, plan, steps: usual } = solvers[solver];
  const reason = unfit(subject);
  if (reason !== undefined) {
    throw new OptionError(
      `option solver: ${solver} cannot sample from this model: ${reason}; choose ${solversFor(subject).join(", ")}`,
    );
  }
  for (const option of OWN_OPTIONS) {
    if (settings[option] === undefined || options.includes(option)) continue;
    const takers = SOLVERS.filter((name) => solvers[name].options.includes(option));
    throw new OptionError(
      `option ${option}: is of ${takers.join(", ")}, and the solver is ${solver}; leave it out or choose another solver`,
    );
  }
  const most = isContinuous(subject.process) ? usual : subject.process.steps;
  return plan(subject, { ...settings, steps: settings.steps ?? Math.min(usual, most) });
}

const OWN_OPTIONS: readonly OwnOption[] = [...new Set(SOLVERS.flatMap((name) => solvers[name].options))];
