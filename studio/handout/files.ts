// A page that is handed out holds its files inside: each in an element of its own, squeezed, in letters.

/** Bytes that base64 stands for. */
function bytesOf(letters: string): Uint8Array<ArrayBuffer> {
  const text = atob(letters);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const elements = (): readonly HTMLScriptElement[] => [
  ...document.querySelectorAll<HTMLScriptElement>("script[data-file]"),
];

async function unpacked(element: HTMLScriptElement): Promise<Uint8Array<ArrayBuffer>> {
  const squeezed = new Blob([bytesOf(element.text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  // The letters are not needed again, and take more memory than the file.
  element.text = "";
  return new Uint8Array(await new Response(squeezed).arrayBuffer());
}

/** Takes the files out of the page, by their names. */
export async function takeFiles(): Promise<Readonly<Record<string, Uint8Array<ArrayBuffer>>>> {
  const named = await Promise.all(
    elements().map(async (element) => [element.dataset.file ?? "", await unpacked(element)] as const),
  );
  return Object.fromEntries(named);
}
