import { parseXml, type XmlElement } from "@rgrove/parse-xml";
import { DataError } from "../../../errors.ts";
import { reasonOf } from "../image.node.ts";

/** Elements directly below another. */
export function elements(parent: XmlElement, name?: string): XmlElement[] {
  return parent.children.filter(
    (child): child is XmlElement =>
      child.type === "element" && (name === undefined || (child as XmlElement).name === name),
  );
}

/** Elements that hold text alone, by their names. */
export function texts(parent: XmlElement | undefined): Record<string, string> {
  const leaves = parent === undefined ? [] : elements(parent).filter((child) => elements(child).length === 0);
  return Object.fromEntries(leaves.map((child) => [child.name, child.text]));
}

/** The outermost element of a text, each with where it stands (`start`, `end`); null where there is none. @throws DataError where it is no well-formed XML */
export function parseRoot(text: string, file: string): XmlElement | null {
  try {
    return parseXml(text, { ignoreUndefinedEntities: true, includeOffsets: true }).root;
  } catch (error) {
    throw new DataError(`${file}: not well-formed XML (${reasonOf(error)})`, { cause: error });
  }
}
