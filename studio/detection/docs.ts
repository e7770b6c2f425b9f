import { RULE_ENTRIES } from "./rules.ts";

/** Pages of the documentation on what stands beside the rules. */
export const PAGES = {
  overlap: "detection/detection-evaluation",
  suppression: "detection/detection-evaluation",
  pyramids: "detection/scales",
} as const;

/** All pages that the room links to, below docs/ and without their extension. */
export const DOCS_OF_DETECTION: readonly string[] = [
  ...Object.values(PAGES),
  ...Object.values(RULE_ENTRIES).map(({ page }) => page),
];
