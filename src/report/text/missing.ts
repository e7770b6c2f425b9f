/** Characters that no installed font has, as one line says. */
export interface MissingCharacters {
  readonly example: string;
  readonly codePoint: string;
  /** The package that has them. */
  readonly package: string;
}

let listener = (line: string): void => process.emitWarning(line, "EidosWarning");

const told = new Set<string>();

/** Sends the lines on characters that no font has to a listener, in place of the warnings of the process. */
export function onMissingCharacters(listen: (line: string) => void): void {
  listener = listen;
}

/** Says once for each package that is missing that code points are drawn in place of letters. */
export function noteMissing({ example, codePoint, package: name }: MissingCharacters): void {
  if (told.has(name)) return;
  told.add(name);
  listener(
    `pictures show code points in place of letters that no installed font has (${example} as ${codePoint}); npm install ${name} brings them`,
  );
}
