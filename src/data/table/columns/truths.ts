/** Texts of false and true, in lower case. */
export const TRUTHS: readonly (readonly [string, string])[] = [
  ["false", "true"],
  ["no", "yes"],
  ["f", "t"],
  ["n", "y"],
  ["off", "on"],
  ["0", "1"],
];
