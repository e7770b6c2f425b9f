import { shortened } from "../printable.ts";
import { elementCount, type NdArray } from "../tensor/array.ts";
import { ARRAY_BYTES, decodeElements, ELEMENT_BYTES } from "./elements.ts";
import { unpickle } from "./pickle.ts";
import {
  byteCount,
  isDict,
  isList,
  isTensor,
  type Pickled,
  type PickledDict,
  type PickledStorage,
  type PickledTensor,
} from "./pickled.ts";
import { type Archive, openZip } from "./zip.ts";

// Files of torch.save: a pickle, and the bytes of the storages that its tensors are views of. Since PyTorch 1.6 both are entries of a zip
// archive; before, a magic number, a version, facts on the system, the pickle, the list of keys and the storages stood one after another.

/** Weights out of a file of PyTorch. */
export interface PytorchWeights {
  readonly tensors: ReadonlyMap<string, NdArray>;
  /** Where in the file they were, and what beside them was left out, for a person. */
  readonly notes: readonly string[];
}

type Fail = (why: string) => never;

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/** Where training scripts keep the state dict, likeliest first. */
const USUAL_KEYS = [
  "state_dict",
  "model_state_dict",
  "model",
  "net",
  "network",
  "module",
  "weights",
  "params",
];

/** Memory that the arrays may take, in sizes of the file: a storage that several tensors share is copied for each. */
const MOST_TIMES = 8;
/** Bytes that small files may take beyond that. */
const SMALL = 4096;

/**
 * Reads the zip form of `torch.save`.
 * @param fail throws the error that says what is wrong
 */
export function readPytorchZip(bytes: Uint8Array, fail: Fail): PytorchWeights {
  const archive = openZip(bytes, fail);
  const folder = folderOf(archive, fail);
  const order = archive.read(`${folder}byteorder`);
  if (order !== undefined && new TextDecoder().decode(order).trim() !== "little") {
    fail("its numbers are big-endian; save it anew on a machine of little-endian order");
  }
  const pickle = archive.read(`${folder}data.pkl`) ?? fail("its archive has no data.pkl");
  const { value, storages } = unpickle(pickle, 0, fail);
  const contents = new Map<string, Uint8Array>();
  for (const [key, storage] of storages) {
    const content = archive.read(`${folder}data/${key}`);
    if (content === undefined) return fail(`storage ${shortened(key)} is missing in its archive`);
    if (content.length !== byteCount(storage)) {
      fail(`storage ${shortened(key)} should have ${byteCount(storage)} bytes, and has ${content.length}`);
    }
    contents.set(key, content);
  }
  return stateOf(value, contents, bytes.length, fail);
}

/** The folder that all entries of PyTorch stand in. @throws by `fail` where the archive is of another kind */
function folderOf({ names }: Archive, fail: Fail): string {
  const [pickle, ...others] = names.filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (others.length > 0)
    fail(`its archive has several pickles: ${some(names.filter((name) => name.endsWith("/data.pkl")))}`);
  if (pickle !== undefined) {
    const folder = pickle.slice(0, -"data.pkl".length);
    if (names.includes(`${folder}constants.pkl`)) {
      fail(
        'it is a program of TorchScript, which is not run. In Python: torch.save(torch.jit.load(FILE).state_dict(), "weights.pth")',
      );
    }
    return folder;
  }
  if (names.length > 0 && names.every((name) => name.endsWith(".npy"))) {
    fail("it is an archive of NumPy (.npz), not weights of PyTorch");
  }
  if (names.some((name) => name.endsWith(".weights.h5")))
    fail("it is a model of Keras, not weights of PyTorch");
  return fail(`it is a zip archive, but not one of PyTorch: it has no data.pkl; it holds ${some(names)}`);
}

/**
 * Reads the form of `torch.save` before PyTorch 1.6.
 * @param fail throws the error that says what is wrong
 */
export function readPytorchStream(bytes: Uint8Array, fail: Fail): PytorchWeights {
  const magic = unpickle(bytes, 0, fail);
  if (magic.value !== MAGIC) fail("it is a pickle of Python, but not one that torch.save wrote");
  const protocol = unpickle(bytes, magic.end, fail);
  if (protocol.value !== PROTOCOL) fail(`it is not of protocol ${PROTOCOL} of torch.save`);
  const system = unpickle(bytes, protocol.end, fail);
  if (!isDict(system.value) || system.value.entries.get("little_endian") !== true) {
    fail("its numbers are big-endian; save it anew on a machine of little-endian order");
  }
  const { value, storages, end } = unpickle(bytes, system.end, fail);
  const keys = unpickle(bytes, end, fail);
  if (!isList(keys.value)) return fail("it has no list of its storages");
  return stateOf(value, storagesAt(bytes, keys.end, keys.value.items, storages, fail), bytes.length, fail);
}

/** The storages one after another, each with its number of elements before it. */
function storagesAt(
  bytes: Uint8Array,
  start: number,
  keys: readonly Pickled[],
  storages: ReadonlyMap<string, PickledStorage>,
  fail: Fail,
): ReadonlyMap<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const contents = new Map<string, Uint8Array>();
  let at = start;
  for (const key of keys) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (storage === undefined) return fail("its list of storages has one that no tensor is a view of");
    if (contents.has(storage.key)) return fail(`storage ${shortened(storage.key)} is there twice`);
    if (at + 8 > bytes.length)
      return fail(`storage ${shortened(storage.key)} is missing; the file is truncated`);
    const count = view.getBigUint64(at, true);
    if (count !== BigInt(storage.count)) {
      return fail(
        `storage ${shortened(storage.key)} should have ${storage.count} elements, and has ${count}`,
      );
    }
    const begin = at + 8;
    at = begin + byteCount(storage);
    if (at > bytes.length)
      return fail(`storage ${shortened(storage.key)} ends beyond the file, which is truncated`);
    contents.set(storage.key, bytes.subarray(begin, at));
  }
  for (const key of storages.keys())
    if (!contents.has(key)) fail(`storage ${shortened(key)} is missing in the file`);
  if (at !== bytes.length) fail(`${bytes.length - at} bytes after the last storage belong to none`);
  return contents;
}

/** The tensors of the state dict in what was saved. */
function stateOf(
  value: Pickled,
  contents: ReadonlyMap<string, Uint8Array>,
  fileLength: number,
  fail: Fail,
): PytorchWeights {
  const { path, dict, notes } = findState(value, fail);
  const tensors = new Map<string, NdArray>();
  const left: string[] = [];
  let room = MOST_TIMES * fileLength + SMALL;
  for (const [key, entry] of dict.entries) {
    if (typeof key !== "string" || !isTensor(entry)) {
      left.push(String(key));
      continue;
    }
    room -= elementCount(entry.shape) * ARRAY_BYTES[entry.storage.dtype];
    if (room < 0) {
      fail(
        `tensor ${shortened(key)} [${entry.shape.join(", ")}]: with it, the tensors would take more than ${MOST_TIMES} times the file's ${fileLength} bytes, as many share a storage; save them as copies`,
      );
    }
    const content =
      contents.get(entry.storage.key) ?? fail(`storage ${shortened(entry.storage.key)} is missing`);
    tensors.set(key, arrayOf(entry, content));
  }
  const beside =
    left.length === 0 ? [] : [`${left.length} of its entries are no tensors, not used: ${some(left)}`];
  const inside = path.length === 0 ? [] : [`the state dict is its entry ${path.join(" / ")}${notes}`];
  return { tensors, notes: [...inside, ...beside] };
}

/** The first three of many names. */
function some(names: readonly string[]): string {
  const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
  return `${names.slice(0, 3).map(shortened).join(", ")}${more}`;
}

interface FoundState {
  /** Keys that lead to it. */
  readonly path: readonly string[];
  readonly dict: PickledDict;
  /** What stands beside it, in words that follow its path. */
  readonly notes: string;
}

const holdsTensors = ({ entries }: PickledDict): boolean => [...entries.values()].some(isTensor);

/** The dictionary of tensors: what was saved, or an entry of it (of an entry), as training scripts write them. */
function findState(value: Pickled, fail: Fail): FoundState {
  if (!isDict(value)) {
    return fail(`it holds ${described(value)}, not a state dict: a dictionary of tensors by name`);
  }
  if (holdsTensors(value)) return { path: [], dict: value, notes: "" };
  const names = [...value.entries.keys()].map(String);
  const notes = (key: string): string => {
    const others = names.filter((name) => name !== key);
    return others.length === 0 ? "" : `; beside it, not used: ${some(others)}`;
  };
  for (const key of USUAL_KEYS) {
    const entry = value.entries.get(key);
    if (!isDict(entry)) continue;
    if (holdsTensors(entry)) return { path: [key], dict: entry, notes: notes(key) };
    for (const inner of USUAL_KEYS) {
      const dict = entry.entries.get(inner);
      if (isDict(dict) && holdsTensors(dict)) return { path: [key, inner], dict, notes: notes(key) };
    }
  }
  const found: FoundState[] = [];
  for (const [key, dict] of value.entries) {
    if (typeof key === "string" && isDict(dict) && holdsTensors(dict)) {
      found.push({ path: [key], dict, notes: notes(key) });
    }
  }
  const [only, ...more] = found;
  if (only === undefined) {
    return fail(`there is no state dict in it: no dictionary of tensors by name; it holds ${some(names)}`);
  }
  if (more.length > 0) {
    const all = found.map(({ path }) => path.join(""));
    return fail(
      `it holds several state dicts, ${some(all)}; save the one that is wanted by itself: torch.save(torch.load(FILE)[${JSON.stringify(all[0])}], "weights.pth")`,
    );
  }
  return only;
}

function described(value: Pickled): string {
  if (value === null) return "None";
  if (typeof value !== "object") return `a ${typeof value === "string" ? "text" : typeof value}`;
  return `a ${value.kind}`;
}

/** Values of a view, row by row. The view lies in its storage, and the storage in the file. */
function arrayOf({ storage, offset, shape, strides }: PickledTensor, content: Uint8Array): NdArray {
  const width = ELEMENT_BYTES[storage.dtype];
  const count = elementCount(shape);
  if (isContiguous(shape, strides)) {
    // The slice of a Uint8Array copies; that of a Node Buffer, which is one too, would share memory.
    const copy = Uint8Array.prototype.slice.call(content, offset * width, (offset + count) * width);
    return decodeElements(storage.dtype, shape, copy);
  }
  const copy = new Uint8Array(count * width);
  const index = shape.map(() => 0);
  let element = offset;
  for (let i = 0; i < count; i++) {
    for (let byte = 0; byte < width; byte++) copy[i * width + byte] = content[element * width + byte] ?? 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const stride = strides[axis] ?? 0;
      const next = (index[axis] ?? 0) + 1;
      element += stride;
      if (next < (shape[axis] ?? 0)) {
        index[axis] = next;
        break;
      }
      element -= next * stride;
      index[axis] = 0;
    }
  }
  return decodeElements(storage.dtype, shape, copy);
}

/** Whether elements follow each other; empty views do, and the stride of an axis of length 1 is never used. */
function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const length = shape[axis] ?? 0;
    if (length === 0) return true;
    if (length > 1 && strides[axis] !== expected) return false;
    expected *= length;
  }
  return true;
}
