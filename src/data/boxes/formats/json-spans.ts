// Where elements of lists stand in a text of JSON, so that one of them is changed and all else stays as it was written: a number of twenty
// digits, the order of keys, spaces.

/** Where a value stands in a text. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** A list of JSON: its brackets and its elements. */
export interface ListSpans {
  /** Behind the opening bracket. */
  readonly from: number;
  /** Before the closing bracket. */
  readonly to: number;
  readonly elements: readonly Span[];
}

const isSpace = (code: number): boolean => code === 32 || code === 10 || code === 13 || code === 9;

function afterSpace(text: string, at: number): number {
  let here = at;
  while (isSpace(text.charCodeAt(here))) here++;
  return here;
}

/** The position behind a string that begins at a quote. */
function afterString(text: string, at: number): number {
  for (let here = at + 1; here < text.length; here++) {
    const code = text.charCodeAt(here);
    if (code === 92) here++;
    else if (code === 34) return here + 1;
  }
  return text.length;
}

/** The position behind a value. */
function afterValue(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return afterString(text, at);
  if (first !== "{" && first !== "[") {
    let here = at;
    while (here < text.length && !/[,\]}\s]/.test(text[here] ?? "")) here++;
    return here;
  }
  let depth = 0;
  for (let here = at; here < text.length; here++) {
    const code = text.charCodeAt(here);
    if (code === 34) here = afterString(text, here) - 1;
    else if (code === 123 || code === 91) depth++;
    else if ((code === 125 || code === 93) && --depth === 0) return here + 1;
  }
  return text.length;
}

/** The elements of a list whose opening bracket is at a position. */
function listAt(text: string, at: number): ListSpans {
  const elements: Span[] = [];
  let here = afterSpace(text, at + 1);
  while (here < text.length && text[here] !== "]") {
    const to = afterValue(text, here);
    elements.push({ from: here, to });
    here = afterSpace(text, to);
    if (text[here] === ",") here = afterSpace(text, here + 1);
  }
  return { from: at + 1, to: here, elements };
}

/**
 * The lists that are values of the outermost object, by their keys; of a key that comes twice the last, as `JSON.parse` takes it.
 * @param text an object, which `JSON.parse` has read
 */
export function listSpans(text: string): ReadonlyMap<string, ListSpans> {
  const lists = new Map<string, ListSpans>();
  let here = afterSpace(text, afterSpace(text, 0) + 1);
  while (here < text.length && text[here] === '"') {
    const end = afterString(text, here);
    const key: unknown = JSON.parse(text.slice(here, end));
    const at = afterSpace(text, afterSpace(text, end) + 1);
    if (text[at] === "[") lists.set(String(key), listAt(text, at));
    else lists.delete(String(key));
    here = afterSpace(text, afterValue(text, at));
    if (text[here] === ",") here = afterSpace(text, here + 1);
  }
  return lists;
}

/** How values of a list are written: spaces between keys, line breaks. */
export interface JsonStyle {
  /** Line break and spaces before an element of the list; empty where elements follow each other on a line. */
  readonly before: string;
  /** Spaces by which what is inside of an element is set in; undefined where an element is one line. */
  readonly indent: string | undefined;
  /** Whether a space follows colons and commas. */
  readonly isSpaced: boolean;
}

/** How the values of a list are written, by its first one, or by another one where it is empty. */
export function styleOf(text: string, list: ListSpans, other?: JsonStyle): JsonStyle {
  const [first, second] = list.elements;
  if (first === undefined) return other ?? { before: "", indent: undefined, isSpaced: /:\s/.test(text) };
  const element = text.slice(first.from, first.to);
  const between =
    second === undefined ? text.slice(list.from, first.from) : text.slice(first.to + 1, second.from);
  const before = /\s*$/.exec(between)?.[0] ?? "";
  const inside = /^[{[](\r?\n[ \t]*)/.exec(element)?.[1];
  const outer = /[ \t]*$/.exec(before)?.[0] ?? "";
  const deep = /[ \t]*$/.exec(inside ?? "")?.[0] ?? "";
  return {
    before,
    indent: inside === undefined ? undefined : deep.slice(outer.length) || "  ",
    isSpaced: /":\s/.test(element),
  };
}

/** A value as it is written beside others of its list. */
export function written(value: unknown, { before, indent, isSpaced }: JsonStyle): string {
  if (indent !== undefined) {
    const outer = /[^\r\n]*$/.exec(before)?.[0] ?? "";
    return JSON.stringify(value, null, indent).replaceAll("\n", `\n${outer}`);
  }
  if (!isSpaced) return JSON.stringify(value);
  // Line breaks in texts are escaped: those that are seen are of the layout.
  return JSON.stringify(value, null, 1)
    .replaceAll(/([{[])\n\s*/g, "$1")
    .replaceAll(/\n\s*([}\]])/g, "$1")
    .replaceAll(/,\n\s*/g, ", ");
}

/** What a list becomes. */
export interface ListChange {
  readonly list: ListSpans;
  /** By the position of an element: its new text, or null where it goes. */
  readonly changed: ReadonlyMap<number, string | null>;
  readonly added: readonly string[];
  readonly style: JsonStyle;
}

/** The inside of a list after a change. What stays keeps what stood before it. */
function changedList(text: string, { list, changed, added, style }: ListChange): string {
  const { elements } = list;
  const kept = elements.flatMap((span, i) => {
    const own = changed.get(i);
    if (own === null) return [];
    const before = elements[i - 1];
    return [
      {
        text: own ?? text.slice(span.from, span.to),
        joint: before === undefined ? undefined : text.slice(before.to, span.from),
      },
    ];
  });
  const usual = `,${style.before}`;
  const all = [...kept, ...added.map((own) => ({ text: own, joint: undefined }))];
  const head =
    elements[0] === undefined
      ? all.length > 0
        ? style.before
        : text.slice(list.from, list.to)
      : text.slice(list.from, elements[0].from);
  const last = elements.at(-1);
  const tail =
    last === undefined
      ? all.length > 0
        ? style.before.replace(/[ \t]+$/, "")
        : ""
      : text.slice(last.to, list.to);
  const parts = all.map(({ text: own, joint }, i) => (i === 0 ? own : (joint ?? usual) + own));
  return head + parts.join("") + tail;
}

/** A text of JSON after changes of its lists. */
export function withLists(text: string, changes: readonly ListChange[]): string {
  let result = "";
  let at = 0;
  for (const change of changes.toSorted((a, b) => a.list.from - b.list.from)) {
    if (change.changed.size === 0 && change.added.length === 0) continue;
    result += text.slice(at, change.list.from) + changedList(text, change);
    at = change.list.to;
  }
  return result + text.slice(at);
}
