import type { DataTrust } from "../../data/open.node.ts";

// A run folder may come from a stranger. It is data: nothing in it runs unless whoever uses it says so. What may be asked for: the module
// of a model, which runs with all rights of this process, a query that reads other files than the run's data, and a request for the weights that it began
// with.

/** What of a run folder is trusted. */
export interface Trust {
  /** Importing the module that the run names as its model: it runs with all rights of this process. Default: false. */
  readonly module?: boolean;
  /** A query of the run that reads any file that this process can. Default: false, the run's own data alone. */
  readonly query?: boolean;
  /** Fetching the weights that the run began with, where they are elsewhere: a request to an address that it names. Default: false. */
  readonly download?: boolean;
}

/** Trust as it is given; true is trust in everything. */
export type GivenTrust = boolean | Trust;

/** Whether a part of a run is trusted. Default: false. */
export function trusts(given: GivenTrust | undefined, what: keyof Trust): boolean {
  return typeof given === "object" ? given[what] === true : given === true;
}

/** How far the queries of a run are trusted, as `openData` takes it. */
export function queryTrust(given: GivenTrust | undefined): DataTrust {
  return { reads: trusts(given, "query") ? "any" : "path" };
}
