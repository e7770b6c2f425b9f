// Texts of addresses behind `?`: entries NAME=VALUE with & between them. A link may come from anyone.

/**
 * Reads a link entry by entry.
 * @param changeOf what one entry changes; undefined where it is not understood
 * @returns the state, and the entries that were not understood, cut short
 */
export function readLink<S extends object>(
  text: string,
  initial: S,
  changeOf: (state: S, name: string, value: string) => Partial<S> | undefined,
): { readonly state: S; readonly dropped: readonly string[] } {
  const dropped: string[] = [];
  let state = initial;
  for (const part of text.split("&").filter((entry) => entry !== "")) {
    const at = part.indexOf("=");
    const [name, value] = at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
    const change = changeOf(state, name, value);
    if (change === undefined) dropped.push(part.length > 40 ? `${part.slice(0, 40)}…` : part);
    else state = { ...state, ...change };
  }
  return { state, dropped };
}

/** Entries as the text of a link. */
export function writeLink(entries: readonly (readonly [name: string, value: string])[]): string {
  return entries.map(([name, value]) => `${name}=${value}`).join("&");
}

/** What the address has behind `?`, decoded; the address itself, cut short, where it holds a broken % sequence. */
export function linkOfAddress(): { readonly text: string } | { readonly broken: string } {
  const at = location.hash.indexOf("?");
  try {
    return { text: at < 0 ? "" : decodeURIComponent(location.hash.slice(at + 1)) };
  } catch {
    return { broken: location.hash.slice(0, 40) };
  }
}
