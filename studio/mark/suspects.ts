import { type Box, overlap } from "./geometry.ts";

// Which photos are worth a look: those of which a run is least sure, and those whose marks it contradicts.

/** What a run has found. */
export interface Proposal {
  readonly label: string;
  readonly score: number;
  readonly box: Box;
}

interface Marking {
  readonly class: string;
  readonly box: Box;
  /** Need not be found. */
  readonly difficult: boolean;
  readonly crowd: boolean;
}

/** Boxes that overlap less are of different objects. */
const SAME = 0.5;

/** A mark that overlaps less with what a run is sure of is drawn badly; less than `APART`, and they are of different objects. */
const LOOSE = 0.6;
const APART = 0.25;

/** A box that a run finds again over an object that is marked adds nothing. */
const AGAIN = 0.6;

/**
 * How unsure a run is of a photo, 0 to 1: its most doubtful object, where a score of a half is the most doubtful. A photo in which it finds
 * nothing at all counts as doubtful by half.
 */
export function doubt(found: readonly Proposal[]): number {
  if (found.length === 0) return 0.5;
  return Math.max(...found.map(({ score }) => 4 * score * (1 - score)));
}

/** A likely error of a photo's marks. */
export interface Suspect {
  readonly kind: "missed" | "not-found" | "other-class" | "badly-placed";
  /** How likely, 0 to 1. */
  readonly weight: number;
  /** What is marked or, of an object that is missed or badly placed, what the run finds. */
  readonly box: Box;
  /** The class that is marked, or that the run finds. */
  readonly class: string;
}

/**
 * Likely errors of marks, the likeliest first: what a detector's loss would be high for. Objects that a run is sure of and that are not marked,
 * those that are marked and that it does not find, those of which it is sure that they are of another class, and marks far from the box that it
 * finds (Tkachenko et al. 2023, "ObjectLab": overlooked, swapped and badly located objects).
 * @param found with scores down to nearly none
 */
export function suspects(marks: readonly Marking[], found: readonly Proposal[]): readonly Suspect[] {
  const near = (box: Box) => found.filter((one) => overlap(one.box, box) >= SAME);
  const ofMarks = marks.flatMap((mark): readonly Suspect[] => {
    if (mark.difficult || mark.crowd) return [];
    const over = near(mark.box);
    const own = Math.max(0, ...over.filter(({ label }) => label === mark.class).map(({ score }) => score));
    const better = placedBetter(mark, marks, found);
    const other = over.filter(({ label }) => label !== mark.class).toSorted((a, b) => b.score - a.score)[0];
    if (other !== undefined && other.score > own) {
      return [{ kind: "other-class", weight: other.score - own, box: mark.box, class: other.label }];
    }
    if (better !== undefined) return [better];
    return own >= SAME ? [] : [{ kind: "not-found", weight: 1 - own, box: mark.box, class: mark.class }];
  });
  const missed = found
    .filter(({ score, box }) => score >= SAME && !marks.some((mark) => overlap(mark.box, box) >= APART))
    .map(({ label, score, box }): Suspect => ({ kind: "missed", weight: score, box, class: label }));
  return [...ofMarks, ...missed].toSorted((a, b) => b.weight - a.weight);
}

/** The box that a run is sure of where a mark is drawn badly; undefined where the mark fits, or nothing does. */
function placedBetter(
  mark: Marking,
  marks: readonly Marking[],
  found: readonly Proposal[],
): Suspect | undefined {
  const own = found.filter(({ label, score }) => label === mark.class && score >= SAME);
  const [best] = own.toSorted((a, b) => overlap(b.box, mark.box) - overlap(a.box, mark.box));
  if (best === undefined) return undefined;
  const shared = overlap(best.box, mark.box);
  const isOfAnother = marks.some((other) => other !== mark && overlap(other.box, best.box) > shared);
  if (shared < APART || shared >= LOOSE || isOfAnother) return undefined;
  return { kind: "badly-placed", weight: best.score * (1 - shared), box: best.box, class: mark.class };
}

/** Proposals from a score on that are not marked already. */
export function fresh(
  found: readonly Proposal[],
  marks: readonly { readonly box: Box }[],
  least: number,
): readonly Proposal[] {
  return found.filter(
    ({ score, box }) => score >= least && !marks.some((mark) => overlap(mark.box, box) >= AGAIN),
  );
}
