import { OptionError } from "../../errors.ts";
import { shortened } from "../../printable.ts";

// Where weights are that are given by name: a path, an address, or a file of a model on Hugging Face's hub. Nothing is asked of any server
// here.

/** A file behind an address. */
export interface UrlSource {
  readonly kind: "url";
  /** As it was given. */
  readonly text: string;
  /** Without its fragment. */
  readonly url: string;
  /** Checksum that its bytes must have, in hexadecimal digits. */
  readonly sha256?: string;
}

/** A file of a model on the hub. */
export interface HubSource {
  readonly kind: "hub";
  readonly text: string;
  readonly owner: string;
  readonly name: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** Undefined where it is to be found among the usual names. */
  readonly file?: string;
  readonly sha256?: string;
}

/** A file that is elsewhere. */
export type RemoteSource = UrlSource | HubSource;

const FORMS = "weights are a path, https://…/file.safetensors, or hf:OWNER/NAME[@REVISION][/FILE]";

/** Most characters of an address or a name. */
const LONGEST = 2000;

/** `#sha256=…` at the end of a text: 64 hexadecimal digits. */
const CHECKSUM = /^sha256=([0-9a-f]{64})$/i;

/** True where a text is meant to name a file that is elsewhere, whether or not it is spelled well; all others are paths, `C://a` too. */
export function isRemote(text: string): boolean {
  return /^(hf:|[a-z][a-z0-9+.-]+:\/\/)/i.test(text);
}

/**
 * Reads an address or a name on the hub.
 * @throws OptionError for one that is not spelled well, or that would be fetched over an open line
 */
export function remoteSource(text: string): RemoteSource {
  const fail = (why: string): never => {
    throw new OptionError(`${shownSource(text)}: ${why}; ${FORMS}`);
  };
  if (text.length > LONGEST) return fail(`it has more than ${LONGEST} characters`);
  const [before = "", ...fragments] = text.split("#");
  const fragment = fragments.length === 0 ? undefined : fragments.join("#");
  const sha256 = fragment === undefined ? undefined : CHECKSUM.exec(fragment)?.[1]?.toLowerCase();
  if (fragment !== undefined && sha256 === undefined) {
    return fail("what stands behind # is no checksum, #sha256= and 64 hexadecimal digits");
  }
  const checked = sha256 === undefined ? {} : { sha256 };
  if (/^hf:/i.test(before)) return { kind: "hub", text, ...hubParts(before.slice(3), fail), ...checked };
  return { kind: "url", text, url: checkedUrl(before, fail).href, ...checked };
}

/** A name of an owner or a model, as the hub has them. */
const NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,95})$/;
/** A branch, tag or commit, or the reference of a pull request, which has slashes. */
const REVISION = /^(?:refs\/pr\/\d{1,9}|[A-Za-z0-9_][A-Za-z0-9._-]{0,199})$/;

function hubParts(
  path: string,
  fail: (why: string) => never,
): Pick<HubSource, "owner" | "name" | "revision" | "file"> {
  const parts = /^([^/@]*)\/([^/@]*)(?:@(refs\/pr\/\d+|[^/]*))?(?:\/(.*))?$/.exec(path);
  if (parts === null) return fail("a model on the hub is named by its owner and its name");
  const [, owner = "", name = "", revision = "main", file] = parts;
  const isPlain = (part: string): boolean => NAME.test(part) && !part.includes("..");
  if (!isPlain(owner)) return fail(`${JSON.stringify(owner)} is no name of an owner`);
  if (!isPlain(name)) return fail(`${JSON.stringify(name)} is no name of a model`);
  if (!REVISION.test(revision) || revision.includes("..")) {
    return fail(`${JSON.stringify(revision)} is no branch, tag or commit`);
  }
  const segments = file?.split("/") ?? [];
  const isStray = (part: string): boolean => /^\.{0,2}$/.test(part) || /[\\%?\p{C}]/u.test(part);
  if (segments.some(isStray)) return fail(`${JSON.stringify(file)} is no path of a file below the model`);
  return { owner, name, revision, ...(file !== undefined && { file }) };
}

/** @throws by `fail` */
function checkedUrl(text: string, fail: (why: string) => never): URL {
  if (!URL.canParse(text)) return fail("it is no address");
  const url = new URL(text);
  const fault = addressFault(url);
  return fault === undefined ? url : fail(fault);
}

/** Why nothing is fetched from an address; undefined where it may be. */
export function addressFault(url: URL): string | undefined {
  if (url.username !== "" || url.password !== "") {
    return "it has a name or a password in it, which would stand in files; leave them out";
  }
  if (url.protocol === "https:") return undefined;
  if (url.protocol !== "http:") return `${url.protocol}// is not fetched`;
  return isLoopback(url)
    ? undefined
    : "over http: anybody on the way could read and change it; take https (http is for this machine alone)";
}

/** True for names and addresses of this machine. */
export function isLoopback({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/** An address or a name as messages have it: what stands behind `?` may be a key, and a name before `@` a password. */
export function shownSource(text: string): string {
  const plain = text.replace(/\?.*$/s, "?…").replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, "$1…@");
  return shortened(plain);
}
