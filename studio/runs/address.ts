// What a link to the runs holds, behind `#/runs?`. A link may come from anyone: what is not understood is left out.

/** What the curves are drawn over. */
export const AXES = ["step", "seconds"] as const;
export type Axis = (typeof AXES)[number];

/** Runs side by side at most: as many as there are colors that are told apart. */
export const MOST_SHOWN = 6;

export interface RunsView {
  /** Names of runs that are shown, in the order in which they were chosen. */
  readonly shown: readonly string[];
  /** The measure of the curves; undefined: the one that suits the runs. */
  readonly measure: string | undefined;
  readonly axis: Axis;
  readonly isLog: boolean;
}

export const INITIAL_VIEW: RunsView = { shown: [], measure: undefined, axis: "step", isLog: false };

/** The text behind `?`; what is as at the beginning is left out. */
export function encodeView({ shown, measure, axis, isLog }: RunsView): string {
  const entries = new URLSearchParams();
  for (const name of shown) entries.append("run", name);
  if (measure !== undefined) entries.set("measure", measure);
  if (axis !== INITIAL_VIEW.axis) entries.set("over", axis);
  if (isLog) entries.set("log", "yes");
  return entries.toString();
}

/** The view of a text; what is not understood is as at the beginning. */
export function decodeView(text: string): RunsView {
  const entries = new URLSearchParams(text);
  const names = entries.getAll("run").filter((name) => name !== "" && name.length <= 255);
  return {
    shown: [...new Set(names)].slice(0, MOST_SHOWN),
    measure: entries.get("measure") ?? undefined,
    axis: AXES.find((axis) => axis === entries.get("over")) ?? INITIAL_VIEW.axis,
    isLog: entries.get("log") === "yes",
  };
}
