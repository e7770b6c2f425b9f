import { crc32 } from "node:zlib";
import onnxProto from "onnx-proto";
import type { Random } from "../../../src/random.ts";
import { pick, type Strangers } from "./hostile.ts";
import { changeJson } from "./structured.ts";

// Changes of bytes: those that know nothing of the format, and those that keep lengths and sums right.

/** Changed bytes, with a name for the change. */
export interface ChangedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const join = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

const EXTREMES = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 53n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
] as const;

/** Changes without knowledge: flips, cuts, blocks twice or away, two files in one, numbers at their limits. */
export function changeBytes(bytes: Uint8Array, other: Uint8Array, random: Random): ChangedBytes {
  const { length } = bytes;
  const at = random.integer(length + 1);
  const size = Math.min(length - at, 1 + random.integer(random.integer(2) === 0 ? 8 : Math.max(1, length)));
  switch (random.integer(9)) {
    case 0:
    case 1: {
      const changed = Uint8Array.from(bytes);
      const flips = 1 + random.integer(random.integer(3) === 0 ? 64 : 3);
      for (let i = 0; i < flips && length > 0; i++) {
        const position = random.integer(length);
        changed[position] = (changed[position] ?? 0) ^ (1 << random.integer(8));
      }
      return { name: `${flips} flipped bits`, bytes: changed };
    }
    case 2:
      return { name: `cut at ${at} of ${length}`, bytes: bytes.slice(0, at) };
    case 3:
      return {
        name: `${size} bytes of ${at} twice`,
        bytes: join(bytes.subarray(0, at + size), bytes.subarray(at)),
      };
    case 4:
      return {
        name: `${size} bytes of ${at} away`,
        bytes: join(bytes.subarray(0, at), bytes.subarray(at + size)),
      };
    case 5: {
      const extra = Uint8Array.from({ length: 1 + random.integer(64) }, () => random.integer(256));
      return {
        name: `${extra.length} bytes put in at ${at}`,
        bytes: join(bytes.subarray(0, at), extra, bytes.subarray(at)),
      };
    }
    case 6: {
      const from = random.integer(other.length + 1);
      return {
        name: `from ${at} on another file's bytes`,
        bytes: join(bytes.subarray(0, at), other.subarray(from)),
      };
    }
    case 7: {
      const changed = Uint8Array.from(bytes);
      changed.fill(pick(random, [0, 0xff, 0x20, 0x7b]), at, at + size);
      return { name: `${size} equal bytes at ${at}`, bytes: changed };
    }
    default:
      return extreme(bytes, random);
  }
}

/** A number at its limit, of any width and order, most often near the beginning or the end, where formats have their lengths. */
function extreme(bytes: Uint8Array, random: Random): ChangedBytes {
  const width = pick(random, [1, 2, 4, 8]);
  if (bytes.length < width) return { name: "nothing", bytes: new Uint8Array() };
  const span = bytes.length - width + 1;
  const place = random.integer(3);
  const near = random.integer(Math.min(64, span));
  const at = place === 0 ? near : place === 1 ? span - 1 - near : random.integer(span);
  const value = pick(random, EXTREMES);
  const changed = Uint8Array.from(bytes);
  const little = random.integer(3) > 0;
  for (let i = 0; i < width; i++) {
    changed[at + (little ? i : width - 1 - i)] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
  return { name: `${width} bytes at ${at} are ${value}`, bytes: changed };
}

/** A safetensors file with another header, whose length is right again. */
export function changeSafetensors(
  bytes: Uint8Array,
  random: Random,
  strangers: Strangers,
): ChangedBytes | undefined {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  const changed = changeJson(text, random, strangers);
  if (changed === undefined) return undefined;
  const header = new TextEncoder().encode(changed.text);
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(header.length), true);
  return { name: changed.name, bytes: join(size, header, bytes.subarray(8 + length)) };
}

/** Operations of a pickle that name what must not run, take what is not there, or claim what cannot be. */
const OPERATIONS_OF_PICKLES = [
  "cos\nsystem\n",
  "cbuiltins\neval\n",
  "ccollections\nOrderedDict\n",
  "ctorch\nFloatStorage\n",
  "ctorch._utils\n_rebuild_tensor_v2\n",
  "(ios\nsystem\n",
  "X\xff\xff\xff\x7f",
  "\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
  "\x8b\xff\xff\xff\x7f",
  "r\xff\xff\xff\xff",
  "j\x01\x00\x00\x00",
  "h\x00",
  "h\x01",
  "M\xff\xff",
  "J\xff\xff\xff\xff",
  "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
  "(",
  ")",
  "]",
  "}",
  "0",
  "R",
  "Q",
  "b",
  "u",
  "e",
  "a",
  "t",
  ".",
  "]".repeat(20_000),
] as const;

/** Where an operation may begin. */
const STANDS = /[(\])}RQuetaqhKMNX]/;

/** A file of PyTorch, whose sums nobody compares, with an operation of its pickle in place of another, or put in. */
export function changePickle(bytes: Uint8Array, random: Random): ChangedBytes | undefined {
  const text = Buffer.from(bytes).toString("latin1");
  const begin = text.indexOf("\x80");
  if (begin < 0) return undefined;
  const span = Math.min(text.length - begin, 2500);
  let at = begin + random.integer(span);
  while (at < text.length && !STANDS.test(text[at] ?? "")) at++;
  const operation = pick<string>(random, OPERATIONS_OF_PICKLES);
  // In a zip archive the places of what follows are part of the format.
  const kept = text.startsWith("PK") || random.integer(2) === 0 ? operation.length : 0;
  const changed = text.slice(0, at) + operation + text.slice(at + kept);
  return {
    name: `operation ${JSON.stringify(operation.slice(0, 24))} at ${at}`,
    bytes: Uint8Array.from(Buffer.from(changed, "latin1")),
  };
}

const SHAPES = [
  "()",
  "(0,)",
  "(-1,)",
  "(1e3,)",
  "(99999999999,)",
  "(4294967296, 4294967296)",
  "(1000000,)",
  "(0, 99999999999)",
  "(1,".repeat(2000),
  `(${"1, ".repeat(5000)})`,
  "(9007199254740993, 0)",
] as const;
const TYPES = [
  "<f4",
  "<f8",
  "<i8",
  "|b1",
  "|u1",
  ">f8",
  "<c16",
  "|O",
  "<U8",
  "V8",
  "f",
  "<f999999999",
] as const;

/** A .npy file with another header, whose length is right again. */
export function changeNpy(bytes: Uint8Array, random: Random): ChangedBytes | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = view.getUint16(8, true);
  const text = new TextDecoder().decode(bytes.subarray(10, 10 + length));
  const shape = pick(random, SHAPES);
  const type = pick(random, TYPES);
  const [name, changed] =
    random.integer(2) === 0
      ? [`shape ${shape.slice(0, 30)}`, text.replace(/\([^)]*\)/, shape)]
      : [`type ${type}`, text.replace(/'descr': '[^']*'/, `'descr': '${type}'`)];
  const header = new TextEncoder().encode(changed);
  const version = random.integer(2) === 0 ? 1 : 2;
  const size = new Uint8Array(version === 1 ? 2 : 4);
  const sizes = new DataView(size.buffer);
  if (version === 1) sizes.setUint16(0, Math.min(0xffff, header.length), true);
  else sizes.setUint32(0, header.length, true);
  return {
    name,
    bytes: join(bytes.subarray(0, 6), Uint8Array.of(version, 0), size, header, bytes.subarray(10 + length)),
  };
}

const SIDES = [0, 1, 2, 255, 16_384, 65_535, 100_000, 0x7fffffff, 0xffffffff] as const;

/** A PNG whose header has other sides, depth or color, with the right sum. */
export function changePng(bytes: Uint8Array, random: Random): ChangedBytes | undefined {
  if (bytes.length < 33 || bytes[1] !== 0x50) return undefined;
  const changed = Uint8Array.from(bytes);
  const view = new DataView(changed.buffer);
  let name: string;
  if (random.integer(3) > 0) {
    const sides = [pick<number>(random, SIDES), pick<number>(random, SIDES)] as const;
    view.setUint32(16, sides[0]);
    view.setUint32(20, sides[1]);
    name = `${sides.join(" × ")} pixels`;
  } else {
    const at = 24 + random.integer(5);
    changed[at] = pick(random, [0, 1, 2, 3, 4, 6, 8, 16, 255]);
    name = `byte ${at} of the header is ${changed[at]}`;
  }
  view.setUint32(29, crc32(changed.subarray(12, 29)));
  return { name, bytes: changed };
}

const OPERATIONS = [
  "Loop",
  "If",
  "Scan",
  "Tile",
  "Expand",
  "ConstantOfShape",
  "Pad",
  "Reshape",
  "Gather",
  "Conv",
  "MatMul",
  "NoSuch",
  "RandomNormal",
  "Range",
] as const;

/** An ONNX model with one field changed: operations, shapes, numbers, and weights that are to come from another file. */
export function changeOnnx(
  bytes: Uint8Array,
  random: Random,
  { table }: Strangers,
): ChangedBytes | undefined {
  const { ModelProto, TensorProto, StringStringEntryProto } = onnxProto.onnx;
  let model: InstanceType<typeof ModelProto>;
  try {
    model = ModelProto.decode(bytes);
  } catch {
    return undefined;
  }
  const { graph } = model;
  const nodes = graph?.node ?? [];
  const weights = graph?.initializer ?? [];
  if (graph === null || graph === undefined || nodes.length === 0) return undefined;
  const node = pick(random, nodes);
  const number = pick<number>(random, [0, -1, 1, 1e6, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]);
  let name: string;
  switch (random.integer(weights.length > 0 ? 9 : 6)) {
    case 0:
      node.opType = pick<string>(random, OPERATIONS);
      name = `an operation becomes ${node.opType}`;
      break;
    case 1:
      node.input = [pick(random, nodes).output?.[0] ?? "", ...(node.input ?? []).slice(1)];
      name = "another input";
      break;
    case 2:
      nodes.splice(nodes.indexOf(node), 1);
      name = "a node is missing";
      break;
    case 3:
      nodes.push(node);
      name = "a node twice";
      break;
    case 4: {
      if ((node.attribute ?? []).length === 0) return undefined;
      const attribute = pick(random, node.attribute ?? []);
      attribute.i = number;
      attribute.ints = (attribute.ints ?? []).map(() => number);
      name = `attribute ${attribute.name} is ${number}`;
      break;
    }
    case 5:
      for (const set of model.opsetImport ?? []) set.version = number;
      name = `operation set ${number}`;
      break;
    case 6: {
      const weight = pick(random, weights);
      weight.dims = [number, ...(weight.dims ?? []).slice(1)];
      name = `a weight of ${number} rows`;
      break;
    }
    case 7: {
      const weight = pick(random, weights);
      const location = pick(random, [
        table,
        "../../../private/secret.csv",
        "/dev/zero",
        "/etc/passwd",
        "*/_ORT_MEM_ADDR_/*",
      ]);
      weight.dataLocation = TensorProto.DataLocation.EXTERNAL;
      weight.rawData = new Uint8Array();
      const entries = { location, offset: String(number), length: "64" };
      weight.externalData = Object.entries(entries).map(([key, value]) =>
        StringStringEntryProto.create({ key, value }),
      );
      name = `a weight out of ${location}`;
      break;
    }
    default: {
      const weight = pick(random, weights);
      weight.dataType = random.integer(24);
      name = `a weight of type ${weight.dataType}`;
    }
  }
  try {
    return { name, bytes: Uint8Array.from(ModelProto.encode(model).finish()) };
  } catch {
    return undefined;
  }
}
