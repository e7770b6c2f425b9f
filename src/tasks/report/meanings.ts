import type { ReportResult } from "../../report/index.ts";
import { MEASURES, type Measure, type MeasureName, type SampleDistance } from "../measure/measures.ts";

// What the numbers of a report mean, in a line each, and which values are good.

/** What numbers mean that are no distances, by their names. */
const MEANINGS: Readonly<Record<string, string>> = {
  loss: "what training makes small, of held-out samples; comparable between runs of one model on one data set alone",
  "log-likelihood":
    "mean log p(x) of held-out samples, the higher the better; of tables in the units of the columns, which shift it",
  "bits per dimension":
    "bits that a number of an image takes by the model's probabilities, the lower the better; 8 for noise",
  "log-likelihood of the true density":
    "the same of the distribution that the data is drawn from: no model has more on average",
  "straightness (0: straight)":
    "how far paths bend from the straight line; straight ones are gone in one step",
  "transport cost":
    "mean squared length of the way from noise to sample, the lower the nearer they are paired",
  "column shapes": "how alike each column is distributed in drawn and in real rows, 0 to 1; 1 is best",
  "pair trends": "how alike two columns depend on each other in drawn and in real rows, 0 to 1; 1 is best",
  "column coverage": "share of the range or levels of a column that drawn rows reach, 0 to 1; 1 is best",
  "boundary adherence": "share of drawn numbers within the bounds of the training split; 1 is best",
  "share of gaps": "1 less the difference of the shares of missing cells; 1 is best",
  "classifier AUROC, trees":
    "how well boosted trees tell drawn from real rows; 0.5 where they cannot, 1 where they always do",
  "classifier AUROC, logistic":
    "how well logistic regression tells drawn from real rows; 0.5 where it cannot, 1 where it always does",
  "distance to training rows":
    "median distance of a drawn row to the closest training row; about that of held-out rows (in the note) is right, far less means copies",
  "nearer to training rows":
    "share of drawn rows nearer to a training row than to a held-out one; about 0.5 is right, towards 1 means copies",
  "error of imputed numbers":
    "mean error of numbers that were hidden and filled in; 0 is best, 1 no better than the median of the column",
  "imputed levels right":
    "share of draws of hidden categories that are right; the higher the better, and no lower than the agreement of draws (in the note)",
  AP: "area under precision over recall, mean over classes and over how exactly boxes have to lie (IoU 0.5 … 0.95), 0 to 1; 1 is best",
  AP50: "the same where boxes count from IoU 0.5 on; 1 is best",
  AP75: "the same where boxes count from IoU 0.75 on: how exactly they lie; 1 is best",
  AR: "share of objects that are found at all, mean over IoU 0.5 … 0.95, 0 to 1; no AP is above it",
  "best F₁": "harmonic mean of precision and recall at the best score to cut at, 0 to 1; 1 is best",
  speed: "images that are looked at in a second on this machine",
};

/** Those of which a part of the name is that of a class, a size or a number. */
const PATTERNS: readonly (readonly [RegExp, name: string, meaning: string])[] = [
  [/^of the bound, /, "of the bound, …", "parts of the bound, whose sum is the negative log-likelihood"],
  [
    / by drawn rows, /,
    "… by drawn rows",
    "how well a model trained on drawn rows predicts the column in real ones; as good as one trained on real rows (in the note) is best",
  ],
  [
    /^imputed within /,
    "imputed within …",
    "share of hidden numbers that lie in the central interval of draws; that of the name is right, less is too sure",
  ],
  [/^AP (small|medium|large)$/, "AP small, medium, large", "AP of objects by their area; 1 is best"],
  [/^AP50 of /, "AP50 of …", "AP50 of the objects of one class; 1 is best"],
  [/^VOC AP/, "VOC AP…", "AP50 as in Pascal VOC, exact and at 11 recalls; 1 is best"],
  [/^cost: /, "cost: …", "AP50 that is lost by one kind of error alone; 0 is best"],
];

/** The name in the list of meanings, and the meaning, of a result that is no distance; undefined for one that has none. */
function ownMeaning(name: string): { readonly of: string; readonly meaning: string } | undefined {
  const meaning = Object.hasOwn(MEANINGS, name) ? MEANINGS[name] : undefined;
  if (meaning !== undefined) return { of: name, meaning };
  const [, of, ofPattern] = PATTERNS.find(([pattern]) => pattern.test(name)) ?? [];
  return of === undefined || ofPattern === undefined ? undefined : { of, meaning: ofPattern };
}

/**
 * Results with what each measures, and what training samples come to.
 * @param control distances of as many training samples in place of drawn ones
 */
export function explained(
  results: readonly ReportResult[],
  control: readonly SampleDistance[] = [],
): readonly ReportResult[] {
  const measures = Object.entries(MEASURES) as [MeasureName, Measure][];
  return results.map((result): ReportResult => {
    const [key, measure] = measures.find(([, { name }]) => name === result.name) ?? [];
    if (measure === undefined) {
      const own = ownMeaning(result.name);
      return own === undefined ? result : { ...result, ...own };
    }
    const { kind } = measure.better;
    const better = kind === "lower" || kind === "higher" ? `; the ${kind} the better` : "";
    const yardstick = control.find((distance) => distance.measure === key)?.value;
    return {
      ...result,
      meaning: `${measure.meaning}${better}`,
      ...(yardstick !== undefined && { yardstick }),
    };
  });
}
