import { readdir, readFile } from "node:fs/promises";

// What eidos brings along when it is installed, read from package-lock.json: for every platform, whatever this machine has installed. What is bundled has
// its licences beside it.

/** A package that is installed with eidos, or with one of its optional packages. */
export interface ThirdParty {
  readonly name: string;
  readonly version: string;
  /** As the package states it: an SPDX expression, or undefined where it states none. */
  readonly license: string | undefined;
  /** `required`: always installed. `optional`: only where the user installs sharp, DuckDB or onnxruntime-web. */
  readonly need: "required" | "optional";
}

interface LockedPackage {
  readonly version?: string;
  readonly license?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** The part of package-lock.json (version 3) that is read here: packages by path, "" for eidos itself. */
export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

/** The lock file of this repository. */
export async function readLock(root: URL = new URL("../", import.meta.url)): Promise<Lock> {
  return JSON.parse(await readFile(new URL("package-lock.json", root), "utf8"));
}

/** Names of the packages that eidos itself asks for, optional ones included. */
export function directNames({ packages }: Lock): ReadonlySet<string> {
  const { dependencies, peerDependencies } = packages[""] ?? {};
  return new Set([...Object.keys(dependencies ?? {}), ...Object.keys(peerDependencies ?? {})]);
}

/** Where Node would find a package from the folder of another; undefined where it is not in the lock. */
function locate({ packages }: Lock, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    const path = folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (packages[path] !== undefined) return path;
    if (folder === "") return undefined;
  }
}

/** What a package wants installed: its dependencies, those of single platforms, and peers that are not optional. */
function wantedBy(locked: LockedPackage): readonly string[] {
  const peers = Object.keys(locked.peerDependencies ?? {}).filter(
    (name) => locked.peerDependenciesMeta?.[name]?.optional !== true,
  );
  return [
    ...Object.keys(locked.dependencies ?? {}),
    ...Object.keys(locked.optionalDependencies ?? {}),
    ...peers,
  ];
}

/**
 * Every package that is installed with eidos, required ones first, each kind by name.
 * @throws Error where the lock lacks a dependency: `npm install` mends it
 */
export function thirdParties(lock: Lock): readonly ThirdParty[] {
  const eidos = lock.packages[""];
  if (eidos === undefined) throw new Error("package-lock.json: there is no package at its root");
  const found = new Map<string, ThirdParty>();
  const visit = (from: string, name: string, need: ThirdParty["need"]): void => {
    const path = locate(lock, from, name);
    const locked = path === undefined ? undefined : lock.packages[path];
    if (path === undefined || locked?.version === undefined) {
      throw new Error(
        `package-lock.json: ${name}, which ${from || "eidos"} needs, is missing; run npm install`,
      );
    }
    if (found.has(path)) return;
    const { version, license } = locked;
    const stated = typeof license === "string" && license !== "" ? license : undefined;
    found.set(path, {
      name: path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length),
      version,
      license: stated,
      need,
    });
    for (const other of wantedBy(locked)) visit(path, other, need);
  };
  for (const name of Object.keys(eidos.dependencies ?? {})) visit("", name, "required");
  for (const name of directNames(lock)) visit("", name, "optional");
  const order = (a: ThirdParty, b: ThirdParty): number =>
    a.need === b.need ? a.name.localeCompare(b.name, "en") : a.need === "required" ? -1 : 1;
  return [...found.values()].sort(order);
}

/** Licences that ask for no more than a notice. */
const PERMISSIVE = new Set([
  "0BSD",
  "Apache-2.0",
  "BlueOak-1.0.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "CC0-1.0",
  "ISC",
  "MIT",
  "OFL-1.1",
  "Unlicense",
  "Zlib",
]);

/** Licences of libraries that are loaded as they are; only an optional package may have one. */
const LOADED = /^LGPL-(2\.1|3\.0)-(only|or-later)$/;

/**
 * What is wrong with the licence of a package; undefined where nothing is.
 *
 * A choice (`OR`) is fine where one of its licences is, a sum (`AND`) where all are. An expression that mixes both, or names an
 * exception, is left to a person.
 */
export function objection({ license, need }: ThirdParty): string | undefined {
  if (license === undefined) return "states no licence";
  const text = license.replace(/^\((.*)\)$/, "$1");
  const kinds = [" OR ", " AND ", " WITH "].filter((word) => text.includes(word));
  if (kinds.length > 1 || text.includes(" WITH ") || /[()]/.test(text)) {
    return `the expression ${license} wants to be read by a person`;
  }
  const fine = (id: string): boolean => PERMISSIVE.has(id) || (need === "optional" && LOADED.test(id));
  const ids = text.split(/ OR | AND /);
  const accepted = text.includes(" OR ") ? ids.some(fine) : ids.every(fine);
  return accepted ? undefined : `${license} is not among the licences that eidos may bring along`;
}

/** The licence of a package as it brings it along. @throws Error where there is none: it may then not be part of a bundle */
async function licenseOf(name: string): Promise<string> {
  const folder = new URL(`../node_modules/${name}/`, import.meta.url);
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
  const { version, license } = JSON.parse(await readFile(new URL("package.json", folder), "utf8"));
  const text = file === undefined ? `Licence: ${license}` : await readFile(new URL(file, folder), "utf8");
  if (file === undefined && license === undefined) throw new Error(`${name} states no licence`);
  return `${name} ${version}\n\n${text.trim()}\n`;
}

/** The licences of the packages in a bundle, to be put beside it. */
export async function licensesOf(names: Iterable<string>): Promise<string> {
  const licenses = await Promise.all([...names].sort().map(licenseOf));
  return licenses.join(`\n${"-".repeat(80)}\n\n`);
}
