import { execFileSync } from "node:child_process";
import type { Random } from "../../src/random.ts";

// What all kinds of the campaign share: the time they have, what they count, and what they call a fault.

/** What can go wrong, with what the table's page says of it. */
export const FAULTS = {
  lost: "a step or a file is gone or damaged, or a run cannot go on",
  mixed: "a run holds numbers of another, or two processes wrote to one",
  untyped: "an error without a type of eidos, or a command that did not end with one clear line",
  crash: "a process ended by a signal or an abort of its own",
  hang: "an input took more than 5 s, and more than 30 s when it was read again",
  act: "a file of a stranger ran code, wrote, or showed a private file",
  growth: "memory grew with the number of steps",
} as const;

export type FaultName = keyof typeof FAULTS;

/** A thing that went wrong. */
export interface Fault {
  readonly fault: FaultName;
  /** One line for a person. */
  readonly message: string;
  /** What leads to it again: seed, number of the input, commands, … */
  readonly details: Readonly<Record<string, unknown>>;
  /** A folder that is kept beside the fault: the input, or the run. */
  readonly folder?: string;
}

/** The time that a kind has. */
export class Budget {
  readonly until: number;

  constructor(seconds: number) {
    this.until = performance.now() + 1000 * seconds;
  }

  /** Seconds left; below zero where it is over. */
  get left(): number {
    return (this.until - performance.now()) / 1000;
  }
}

/** Where a kind puts what it did. A row is a line of the table. */
export interface Report {
  /** A fresh folder of this kind, which is removed at the end. */
  readonly folder: string;
  /** Counts things of a row that went well or not. */
  count(row: string, unit: string, things?: number, seconds?: number): void;
  /** Adds a remark to a row, once. */
  note(row: string, remark: string): void;
  /** Counts a fault and keeps it. */
  fault(row: string, fault: Fault): Promise<void>;
  /** Shows how far the kind is. */
  progress(line: string): void;
}

/** A kind of trial. */
export interface Kind {
  readonly name: string;
  /** Its part of the minutes, relative to those of other kinds. */
  readonly share: number;
  run(budget: Budget, random: Random, report: Report): Promise<void>;
  /** Tries again what led to a fault of this kind: `details` and the folder that were kept. */
  replay(details: Readonly<Record<string, unknown>>, kept: string, report: Report): Promise<void>;
}

/** A module of the build: the campaign tries what users run. */
export function built(path: string): string {
  return new URL(`../../dist/${path}`, import.meta.url).href;
}

/** The message of whatever was thrown, in one line. */
export function lineOf(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.replaceAll(/\s*\n\s*/g, " ").slice(0, 400);
}

/** Copies a folder with links and pipes as they are. The copy must not be there yet. */
export function copyFolder(from: string, to: string): void {
  execFileSync("cp", ["-a", from, to]);
}
