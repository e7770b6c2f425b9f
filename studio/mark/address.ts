// What a link to the room holds, behind `#/mark?`. A link may come from anyone: the server decides what it may name.

export interface MarkView {
  /** As the server lists it; empty before one is chosen. */
  readonly folder: string;
  /** The photo that is open; empty where none is. */
  readonly photo: string;
}

export const NO_VIEW: MarkView = { folder: "", photo: "" };

/** The text behind `?`. */
export function encodeMark({ folder, photo }: MarkView): string {
  const entries = new URLSearchParams();
  if (folder !== "") entries.set("folder", folder);
  if (folder !== "" && photo !== "") entries.set("photo", photo);
  return entries.toString();
}

/** The view of a text; what is not understood is left out. */
export function decodeMark(text: string): MarkView {
  const entries = new URLSearchParams(text);
  const folder = entries.get("folder") ?? "";
  return { folder, photo: folder === "" ? "" : (entries.get("photo") ?? "") };
}

/** The addresses of a photo and what belongs to it, below /api/. */
export function photoPath(what: "photo" | "image" | "thumbnail", folder: string, photo: string): string {
  return `mark/${what}?${new URLSearchParams({ folder, photo })}`;
}
