/** Widths of the letters of Helvetica and Arial, in thousandths of the font size; 556, a digit's, for all others. */
const WIDTHS: readonly (readonly [letters: string, width: number])[] = [
  ["ijl'|", 222],
  [" ftI!.,:;/\\[]", 278],
  ["r()-{}`", 333],
  ["Jckvsxyz", 500],
  ["−+=<>~", 584],
  ["ABEKPSVXY&", 667],
  ["CDHNRU", 722],
  ["GOQ", 778],
  ["mM", 833],
  ["W…%@", 960],
  ["w", 722],
];

const LETTERS = new Map(WIDTHS.flatMap(([letters, width]) => [...letters].map((letter) => [letter, width])));

/** Width of a line of text in pixels, in Helvetica or a font made to its measure, where no canvas can measure it. */
export function textWidth(text: string, fontSize: number, bold: boolean): number {
  const thousandths = [...text].reduce((sum, letter) => sum + (LETTERS.get(letter) ?? 556), 0);
  return (thousandths / 1000) * fontSize * (bold ? 1.06 : 1);
}
