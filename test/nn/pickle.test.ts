import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { readWeights } from "../../src/nn/weights.ts";
import { numbers } from "./support.ts";

// Hostile files, written operation by operation.

const latin = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

const little = (value: number | bigint, width: number): string =>
  Array.from({ length: width }, (_, i) =>
    String.fromCharCode(Number((BigInt(value) >> BigInt(8 * i)) & 0xffn)),
  ).join("");

/** Operations of a pickle. */
const text = (value: string): string => `X${little(value.length, 4)}${value}`;
const whole = (value: number | bigint): string => `\x8a\x08${little(value, 8)}`;
const tuple = (...items: readonly string[]): string => `(${items.join("")}t`;
const global = (module: string, name: string): string => `c${module}\n${name}\n`;
const call = (callee: string, ...given: readonly string[]): string => `${callee}${tuple(...given)}R`;
const ORDERED = call(global("collections", "OrderedDict"));
const dict = (entries: Readonly<Record<string, string>>): string =>
  `${ORDERED}(${Object.entries(entries)
    .map(([key, value]) => text(key) + value)
    .join("")}u`;
const storage = (key = "0", count: number | bigint = 4, type = "FloatStorage"): string =>
  `${tuple(text("storage"), global("torch", type), text(key), text("cpu"), whole(count))}Q`;
const tensor = (shape: readonly number[], strides: readonly number[], offset = 0, held = storage()): string =>
  call(
    global("torch._utils", "_rebuild_tensor_v2"),
    held,
    whole(offset),
    tuple(...shape.map(whole)),
    tuple(...strides.map(whole)),
    "\x89",
    ORDERED,
  );
const program = (operations: string): string => `\x80\x02${operations}.`;

interface ZipEntry {
  readonly name: string;
  readonly content: string;
  readonly method?: number;
  readonly flags?: number;
  /** What the directory says, where it does not say the truth. */
  readonly size?: number;
  readonly begin?: number;
}

/** A zip archive of stored entries. */
function zipOf(entries: readonly ZipEntry[]): Uint8Array {
  let body = "";
  let directory = "";
  for (const {
    name,
    content,
    method = 0,
    flags = 0,
    size = content.length,
    begin = body.length,
  } of entries) {
    directory += `PK\x01\x02${"\0".repeat(4)}${little(flags, 2)}${little(method, 2)}${"\0".repeat(8)}${little(size, 4).repeat(2)}${little(name.length, 2)}${"\0".repeat(12)}${little(begin, 4)}${name}`;
    body += `PK\x03\x04${"\0".repeat(22)}${little(name.length, 2)}\0\0${name}${content}`;
  }
  const end = `PK\x05\x06${"\0".repeat(4)}${little(entries.length, 2).repeat(2)}${little(directory.length, 4)}${little(body.length, 4)}\0\0`;
  return latin(body + directory + end);
}

const FLOATS = "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40";
const pickle = (operations: string): ZipEntry => ({ name: "a/data.pkl", content: program(operations) });
const data: ZipEntry = { name: "a/data/0", content: FLOATS };

const SYSTEM = program(`}(${text("little_endian")}\x88u`);
const STREAM_HEAD = `${program(`\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19`)}${program("M\xe9\x03")}${SYSTEM}`;

/** The older form: operations, keys of the storages, and their numbers of elements and bytes. */
const streamOf = (operations: string, keys = [text("0")], held = little(4, 8) + FLOATS): Uint8Array =>
  latin(STREAM_HEAD + program(operations) + program(`](${keys.join("")}e`) + held);

const both = (operations: string): readonly Uint8Array[] => [
  zipOf([pickle(operations), data]),
  // Without tensors there are no storages.
  operations.includes("torch\nFloatStorage") ? streamOf(operations) : streamOf(operations, [], ""),
];

function refuse(bytes: Uint8Array, message: string | RegExp): void {
  const read = () => readWeights(bytes, "strange.pth");
  expect(read).toThrow(WeightsError);
  expect(read).toThrow("strange.pth: ");
  expect(read).toThrow(message);
}

const good = dict({ w: tensor([2, 2], [2, 1]) });

describe("a pickle builds nothing but tensors, dictionaries, lists and numbers", () => {
  it("reads what is sound, in both forms", () => {
    for (const bytes of both(good)) {
      expect(
        numbers(
          readWeights(bytes, "f").tensors.get("w") ?? { dtype: "bool", shape: [], data: new Uint8Array() },
        ),
      ).toEqual([1, 2, 3, 4]);
    }
  });

  it.each([
    [
      "os.system",
      call(global("os", "system"), text("touch /tmp/acted")),
      "names os.system, which this reader does not run",
    ],
    ["posix.system", call(global("posix", "system"), text("id")), "names posix.system"],
    ["builtins.eval", call(global("builtins", "eval"), text("1")), "names builtins.eval"],
    ["by the stack", `${text("builtins")}${text("exec")}\x93`, "names builtins.exec"],
    [
      "NumPy",
      call(global("numpy.core.multiarray", "_reconstruct")),
      "names numpy.core.multiarray._reconstruct",
    ],
    [
      "a dotted name",
      global("torch", "_utils._rebuild_tensor_v2.__globals__"),
      "names torch._utils._rebuild_tensor_v2.__globals__",
    ],
    ["a name that every object has", global("constructor", "prototype"), "names constructor.prototype"],
    ["a storage of objects", storage("0", 4, "ComplexFloatStorage"), "names torch.ComplexFloatStorage"],
    ["a storage without a type", storage("0", 4, "Size"), "a storage is of torch.Size"],
    ["controls", global("o\x1b[2Js", "system"), "names o\\u001b[2Js.system"],
    ["INST", `(ios\nsystem\n`, "operation INST"],
    ["OBJ", `(${global("collections", "OrderedDict")}o`, "operation OBJ"],
    ["NEWOBJ", `${global("collections", "OrderedDict")})\x81`, "operation NEWOBJ"],
    ["EXT1", "\x82\x01", "operation EXT1"],
    ["PERSID", "Pa\n", "operation PERSID"],
    ["an unknown operation", "\xf0", "unknown operation (240)"],
    ["a call of a call", `${ORDERED})R`, "REDUCE calls what is no name"],
    ["a call of a storage's class", call(global("torch", "FloatStorage")), "calls torch.FloatStorage"],
    ["BUILD of a plain dictionary", `}}b`, "BUILD"],
    ["protocol 0", "\x80\x00", "protocol 0"],
  ])("%s", (_, operations, message) => {
    for (const bytes of both(operations)) refuse(bytes, message);
  });

  it("takes a state of an OrderedDict, which it does not need", () => {
    for (const bytes of both(`${good}}(${text("_metadata")}${ORDERED}ub`)) {
      expect([...readWeights(bytes, "f").tensors.keys()]).toEqual(["w"]);
    }
  });

  it("reads what Python 2 wrote: texts of bytes, dictionaries of pairs", () => {
    const pairs = call(global("collections", "OrderedDict"), `](](U\x01w${tensor([4], [1])}ee`);
    for (const bytes of both(pairs)) expect([...readWeights(bytes, "f").tensors.keys()]).toEqual(["w"]);
  });
});

describe("a pickle takes no more than its bytes are worth", () => {
  it.each([
    ["no values", "u", "lacks"],
    ["no mark", "}u", "lacks its mark"],
    ["values below a mark", "](NR", "lacks its values"],
    ["a key without a value", `}(${text("a")}u`, "a key without a value"],
    ["a list as a key", "}(]Nu", "a list as a key"],
    ["entries of a list", `](${text("a")}Nu`, "no dictionary"],
    ["items of a tuple", ")Na", "no list"],
    ["an empty memo", "h\x01", "no value 1 in its memo"],
    ["values left over", "NN", "left over"],
    ["a mark left over", "N(", "an operation lacks its values"],
    ["a text beyond the file", "X\xff\xff\xff\xffab", "truncated"],
    ["a text of 2^63 bytes", `\x8d${"\xff".repeat(8)}ab`, "truncated"],
    ["a frame beyond the file", `\x95${"\xff".repeat(8)}N`, "beyond the file"],
    [
      "a huge whole number",
      `\x8b${little(100_000, 4)}${"\x01".repeat(100_000)}`,
      "a whole number of 100000 bytes",
    ],
    ["a text that is no UTF-8", "X\x01\0\0\0\xff", "not UTF-8"],
    ["a name without end", `c${"a".repeat(1000)}`, "does not end"],
    ["two million operations", "N".repeat(2_000_001), "more than 2,000,000 operations"],
    ["what is no dictionary", "]", "it holds a list, not a state dict"],
    ["no tensors", dict({ epoch: "K\x01" }), "no dictionary of tensors by name; it holds epoch"],
    ["an empty dictionary", "}", "no state dict in it"],
  ])("%s", (_, operations, message) => {
    for (const bytes of both(operations)) refuse(bytes, message);
  });

  it("lists within themselves and lists a hundred thousand deep", () => {
    const itself = `]q\x01h\x01a`;
    const deep = `${"]".repeat(100_000)}${"a".repeat(99_999)}`;
    const within = `}q\x02(${text("state_dict")}h\x02u`;
    for (const operations of [itself, deep]) {
      for (const bytes of both(dict({ extra: operations, w: tensor([4], [1]) }))) {
        const { tensors, notes } = readWeights(bytes, "f");
        expect([...tensors.keys()]).toEqual(["w"]);
        expect(notes).toEqual(["1 of its entries are no tensors, not used: extra"]);
      }
    }
    for (const bytes of both(within)) refuse(bytes, "no state dict");
  });

  it("a memo that doubles", () => {
    // Each list holds the one before it twice: 2^100 items, were they ever counted.
    const doubled = `](K\x01eq\0${Array.from({ length: 100 }, (_, i) => `](h${String.fromCharCode(i)}h${String.fromCharCode(i)}eq${String.fromCharCode(i + 1)}`).join("")}`;
    for (const bytes of both(tuple(doubled))) refuse(bytes, "it holds a tuple");
    // A long list of pairs, of which dictionaries are made again and again.
    const pairs = `](${Array.from({ length: 20_000 }, (_, i) => `K\x01${whole(i)}\x86`).join("")}e\x85q\0`;
    const again = `${global("collections", "OrderedDict")}q\x01${"h\x01h\0R".repeat(1000)}`;
    for (const bytes of both(tuple(pairs, again))) refuse(bytes, "more than 2,000,000 operations");
  });

  it("tensors of many axes, and dictionaries, made again and again", () => {
    const ones = tuple(...Array<string>(64).fill("K\x01"));
    const given = `${tuple(storage(), "K\0", ones, ones)}q\x01`;
    const again = `${global("torch._utils", "_rebuild_tensor")}q\x02${"h\x02h\x01R".repeat(20_000)}`;
    for (const bytes of both(tuple(given, again))) refuse(bytes, "more than 2,000,000 operations");
    for (const bytes of both("}".repeat(200_000))) refuse(bytes, "more than 2,000,000 operations");
  });

  it("the memo is no array of the size of its largest index", () => {
    for (const bytes of both(`${good}r\xff\xff\xff\xff`)) {
      expect(readWeights(bytes, "f").tensors.size).toBe(1);
    }
  });
});

describe("tensors lie in their storages", () => {
  it.each([
    ["too many elements", tensor([5], [1]), "tensor [5] reaches beyond its storage 0, which has 4 elements"],
    ["an offset", tensor([2], [1], 3), "reaches beyond"],
    ["an offset of an empty tensor", tensor([0], [1], 5), "reaches beyond"],
    ["a stride", tensor([2], [4]), "reaches beyond"],
    ["a stride of 2^53", tensor([2], [2 ** 53 - 1]), "reaches beyond"],
    ["2^62 elements", tensor([2 ** 31, 2 ** 31], [0, 0]), "reaches beyond"],
    ["a negative length", tensor([-1], [1]), "that cannot be"],
    ["a negative stride", tensor([4], [-1], 3), "that cannot be"],
    ["a negative offset", tensor([1], [1], -1), "that cannot be"],
    ["fewer strides", tensor([2, 2], [1]), "that cannot be"],
    ["a thousand axes", tensor(Array(1000).fill(1), Array(1000).fill(1)), "that cannot be"],
    [
      "no storage",
      call(global("torch._utils", "_rebuild_tensor_v2"), "N", "N", ")", ")"),
      "of what is no storage",
    ],
    [
      "a parameter of no tensor",
      call(global("torch._utils", "_rebuild_parameter"), "N"),
      "of what is no tensor",
    ],
    ["a persistent id of other things", `${tuple(text("module"), "N")}Q`, "persistent id"],
    [
      "a storage of 2^62 elements",
      dict({ w: tensor([2], [1], 0, storage("0", 2n ** 62n)) }),
      "persistent id",
    ],
    [
      "a storage of two sizes",
      dict({ a: tensor([4], [1]), b: tensor([2], [1], 0, storage("0", 2)) }),
      "two sizes",
    ],
    ["an expanded tensor", dict({ w: tensor([1e9], [0]) }), "more than 8 times the file's"],
    [
      "many tensors of one storage",
      dict({ ...Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`w${i}`, tensor([1000], [0])])) }),
      "more than 8 times the file's",
    ],
  ])("%s", (_, operations, message) => {
    for (const bytes of both(operations)) refuse(bytes, message);
  });

  it("a shape does not change after it was checked", () => {
    // The shape is a list, to which a further length is appended when the tensor is made.
    const shape = `](${whole(4)}eq\x05`;
    const made = call(
      global("torch._utils", "_rebuild_tensor_v2"),
      storage(),
      whole(0),
      shape,
      tuple(whole(1)),
      "\x89",
      ORDERED,
    );
    for (const bytes of both(dict({ w: made, z: `h\x05${whole(1e9)}a` }))) {
      expect(readWeights(bytes, "f").tensors.get("w")?.shape).toEqual([4]);
    }
  });

  it("the older form has every storage once, in its size, and nothing after them", () => {
    const held = little(4, 8) + FLOATS;
    refuse(streamOf(good, [text("0")], little(5, 8) + FLOATS), "should have 4 elements, and has 5");
    refuse(streamOf(good, [text("0")], little(2n ** 63n, 8) + FLOATS), "and has 9223372036854775808");
    refuse(streamOf(good, [text("0")], held.slice(0, -1)), "truncated");
    refuse(streamOf(good, [text("0")], `${held}\0`), "1 bytes after the last storage belong to none");
    refuse(streamOf(good, [], ""), "storage 0 is missing");
    refuse(streamOf(good, [text("0"), text("0")], held + held), "there twice");
    refuse(streamOf(good, [text("1")], held), "no tensor is a view of");
    refuse(latin(STREAM_HEAD + program(good) + program("}") + held), "no list of its storages");
    refuse(latin(STREAM_HEAD.replace("M\xe9\x03", "M\xe8\x03") + program(good)), "protocol 1001");
  });
});

describe("zip archives", () => {
  const sound = pickle(good);

  it.each<[string, readonly ZipEntry[], string]>([
    ["a storage that is missing", [sound], "storage 0 is missing"],
    ["another size", [sound, { name: "a/data/0", content: "\0" }], "should have 16 bytes, and has 1"],
    ["an entry twice", [sound, data, data], "a/data/0 twice"],
    ["an entry beyond the file", [sound, { ...data, size: 1000 }], "a/data/0 ends beyond the file"],
    ["an entry that begins beyond it", [sound, { ...data, begin: 100_000 }], "does not begin where"],
    ["overlapping entries", [sound, { ...data, begin: 0 }], "overlaps another entry"],
    [
      "an entry within another",
      [{ ...sound, size: sound.content.length + 20 }, data],
      "overlaps another entry",
    ],
    ["a compressed pickle", [{ ...sound, method: 8 }, data], "a/data.pkl is compressed"],
    ["a compressed storage", [sound, { ...data, method: 8 }], "a/data/0 is compressed"],
    ["an encrypted entry", [sound, { ...data, flags: 1 }], "a/data/0 is encrypted"],
    ["two pickles", [sound, { ...sound, name: "b/data.pkl" }, data], "several pickles"],
    ["NumPy", [{ name: "arr_0.npy", content: "" }], "an archive of NumPy"],
    ["Keras", [{ name: "model.weights.h5", content: "" }], "Keras"],
    ["others", [{ name: "word/document.xml", content: "" }], "no data.pkl; it holds word/document.xml"],
    ["a path out of the archive", [sound, { name: "../../data/0", content: FLOATS }], "storage 0 is missing"],
  ])("%s", (_, entries, message) => {
    refuse(zipOf(entries), message);
  });

  it("a directory that cannot be", () => {
    const bytes = zipOf([sound, data]);
    const changed = (at: number, value: string): Uint8Array => {
      const copy = bytes.slice();
      copy.set(latin(value), copy.length - 22 + at);
      return copy;
    };
    refuse(changed(10, "\xff\xff"), "a directory that cannot be");
    refuse(changed(16, "\xff\xff\xff\xff"), "a directory that cannot be");
    refuse(changed(12, "\xff\xff\xff\xff"), "a directory that cannot be");
    refuse(changed(16, "\x01\0\0\0"), "damaged directory");
    refuse(bytes.subarray(0, -1), "no directory at its end");
  });
});
