/** Foresees how long all models of a comparison will take, from those that are done. */
export class TimeLeft {
  /** Seconds of training that each is given; undefined where the budget is in steps or epochs. */
  private readonly budget: number | undefined;
  /** Seconds of training, and of all else, of each model that is done. */
  private readonly done: { readonly training: number; readonly rest: number }[] = [];

  constructor(budget: number | undefined) {
    this.budget = budget;
  }

  /** A model has been trained and measured. */
  add(training: number, whole: number): void {
    this.done.push({ training, rest: Math.max(0, whole - training) });
  }

  /**
   * Seconds until all is done; undefined where nothing is known yet.
   * @param current seconds that training of the model under way will still take, undefined where it is not known
   * @param after models that come after it
   * @param measuring seconds since its training ended, where it did, and what is known to be left of the work since
   */
  estimate(
    current: number | undefined,
    after: number,
    measuring?: { readonly since: number; readonly left?: number },
  ): number | undefined {
    const training = this.budget ?? this.mean("training");
    const rest = this.mean("rest") ?? 0;
    const first = measuring === undefined ? (current ?? training) : 0;
    if (first === undefined) return undefined;
    if (after > 0 && training === undefined) return undefined;
    const own = Math.max(measuring?.left ?? 0, rest - (measuring?.since ?? 0));
    return first + own + after * ((training ?? 0) + rest);
  }

  private mean(part: "training" | "rest"): number | undefined {
    if (this.done.length === 0) return undefined;
    return this.done.reduce((sum, one) => sum + one[part], 0) / this.done.length;
  }
}
