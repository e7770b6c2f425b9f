import { shortened } from "../printable.ts";
import type { StoredType } from "./elements.ts";
import {
  byteCount,
  isDict,
  isGlobal,
  isList,
  isSize,
  isStorage,
  isTensor,
  OTHER_OPERATIONS,
  type Pickled,
  type PickledDict,
  type PickledGlobal,
  type PickledList,
  type PickledStorage,
  type PickledTensor,
  sizesOf,
} from "./pickled.ts";

// Python's pickle is a program for a small machine with a stack and a memo, and may call anything. This machine has the operations that
// torch.save writes, and makes tensors, dictionaries, lists and numbers alone: what else a pickle names is refused by name, and nothing is
// ever called. https://github.com/python/cpython/blob/main/Lib/pickletools.py describes the operations.

/** Elements of PyTorch's storages, by their classes. */
const STORAGES: ReadonlyMap<string, StoredType> = new Map([
  ["torch.FloatStorage", "F32"],
  ["torch.DoubleStorage", "F64"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.ShortStorage", "I16"],
  ["torch.CharStorage", "I8"],
  ["torch.ByteStorage", "U8"],
  ["torch.BoolStorage", "BOOL"],
]);

const ORDERED_DICT = "collections.OrderedDict";
const GLOBALS: ReadonlySet<string> = new Set([
  ORDERED_DICT,
  "torch._utils._rebuild_tensor",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
  "torch.Size",
  "torch.device",
]);

/**
 * Operations at most, where what takes more memory counts as several. A network of a thousand tensors takes about fifty thousand, the
 * state of its optimizer twice as many. So a pickle takes less than 200 MB, whatever it holds.
 */
const MOST_OPERATIONS = 2_000_000;
/** What a dictionary and a tensor count for, beside the tensor's axes. */
const LARGE = 10;
/** Bytes of a whole number at most; PyTorch's magic number has ten. */
const MOST_DIGITS = 16;
const MOST_ARGUMENTS = 16;
const LONGEST_NAME = 200;

/** A pickle that has been read. */
export interface Unpickled {
  readonly value: Pickled;
  /** Where the byte after it stands. */
  readonly end: number;
  /** The storages that its tensors are views of, by key. */
  readonly storages: ReadonlyMap<string, PickledStorage>;
}

/**
 * Reads one pickle of PyTorch, without running anything. Memory is taken in proportion to the bytes that are read, with a limit on
 * operations; tensors are described, not made.
 * @param start where the pickle begins
 * @param fail throws the error that says what is wrong
 */
export function unpickle(bytes: Uint8Array, start: number, fail: (why: string) => never): Unpickled {
  return new Machine(bytes, start, fail).run();
}

class Machine {
  private position: number;
  private spent = 0;
  private readonly view: DataView;
  private readonly stack: Pickled[] = [];
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, Pickled>();
  private readonly storages = new Map<string, PickledStorage>();
  /** Dictionaries that are OrderedDicts, which alone may have a further state. */
  private readonly ordered = new WeakSet<PickledDict>();
  private readonly text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  private readonly bytes: Uint8Array;
  private readonly refuse: (why: string) => never;

  constructor(bytes: Uint8Array, start: number, refuse: (why: string) => never) {
    this.bytes = bytes;
    this.position = start;
    this.refuse = refuse;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): Unpickled {
    for (;;) {
      this.spend(1);
      const operation = this.take(1);
      const code = this.view.getUint8(operation);
      if (code === 0x2e) return this.stop();
      const made = this.operate(code, operation);
      if (made !== undefined) this.stack.push(made);
    }
  }

  /** Counts work: operations, and what they copy that the memo may hand them again and again. */
  private spend(count: number): void {
    this.spent += count;
    if (this.spent > MOST_OPERATIONS) {
      this.fail(`it has more than ${MOST_OPERATIONS.toLocaleString("en")} operations`);
    }
  }

  private stop(): Unpickled {
    const value = this.pop();
    if (this.stack.length > 0 || this.marks.length > 0) this.fail("it ends with values left over");
    return { value, end: this.position, storages: this.storages };
  }

  /** By the values of the operations in pickletools.py. Returns what is to be pushed, if anything. */
  private operate(code: number, at: number): Pickled | undefined {
    switch (code) {
      case 0x80: {
        const version = this.unsigned(1);
        if (version < 2 || version > 5) this.fail(`protocol ${version} is not one of 2 to 5`);
        return undefined;
      }
      case 0x95: {
        // FRAME: the bytes that follow are read together; they must be there.
        const length = this.unsigned(8);
        if (length > this.bytes.length - this.position) this.fail("a frame ends beyond the file");
        return undefined;
      }
      case 0x28: // MARK
        this.marks.push(this.stack.length);
        return undefined;
      case 0x4e: // NONE
        return null;
      case 0x88: // NEWTRUE
        return true;
      case 0x89: // NEWFALSE
        return false;
      case 0x4a: // BININT
        return this.view.getInt32(this.take(4), true);
      case 0x4b: // BININT1
        return this.unsigned(1);
      case 0x4d: // BININT2
        return this.unsigned(2);
      case 0x8a: // LONG1
        return this.long(this.unsigned(1));
      case 0x8b: // LONG4
        return this.long(this.unsigned(4));
      case 0x47: // BINFLOAT
        return this.view.getFloat64(this.take(8));
      case 0x58: // BINUNICODE
      case 0x54: // BINSTRING, as Python 2 wrote texts
        return this.string(this.unsigned(4));
      case 0x8c: // SHORT_BINUNICODE
      case 0x55: // SHORT_BINSTRING
        return this.string(this.unsigned(1));
      case 0x8d: // BINUNICODE8
        return this.string(this.unsigned(8));
      case 0x7d: // EMPTY_DICT
        return this.emptyDict();
      case 0x5d: // EMPTY_LIST
        return this.sequence("list", []);
      case 0x29: // EMPTY_TUPLE
        return this.sequence("tuple", []);
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.sequence("tuple", this.popped(code - 0x84));
      case 0x74: // TUPLE
        return this.sequence("tuple", this.sinceMark());
      case 0x73: // SETITEM
        this.setItems(this.popped(2));
        return undefined;
      case 0x75: // SETITEMS
        this.setItems(this.sinceMark());
        return undefined;
      case 0x61: // APPEND
        this.append(this.popped(1));
        return undefined;
      case 0x65: // APPENDS
        this.append(this.sinceMark());
        return undefined;
      case 0x71: // BINPUT
        this.remember(this.unsigned(1));
        return undefined;
      case 0x72: // LONG_BINPUT
        this.remember(this.unsigned(4));
        return undefined;
      case 0x94: // MEMOIZE
        this.remember(this.memo.size);
        return undefined;
      case 0x68: // BINGET
        return this.recall(this.unsigned(1));
      case 0x6a: // LONG_BINGET
        return this.recall(this.unsigned(4));
      case 0x63: // GLOBAL
        return this.global(this.line(), this.line());
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.popped(2);
        if (typeof module !== "string" || typeof name !== "string") {
          return this.fail("it names something by what is no text");
        }
        return this.global(module, name);
      }
      case 0x51: // BINPERSID
        return this.storage(this.pop());
      case 0x52: {
        // REDUCE
        const [callee, given] = this.popped(2);
        return this.made(callee, given);
      }
      case 0x62: {
        // BUILD: a state dict keeps versions of its layers beside its entries, which nothing here needs.
        this.pop();
        const owner = this.top();
        if (!isDict(owner) || !this.ordered.has(owner)) {
          this.fail("operation BUILD changes what is no OrderedDict, which this reader does not run");
        }
        return undefined;
      }
      default: {
        const name = OTHER_OPERATIONS[code];
        const what = name === undefined ? `an unknown operation (${code})` : `operation ${name}`;
        return this.fail(`${what} at byte ${at}, which this reader does not run`);
      }
    }
  }

  /** Ends with the operation's error. */
  private fail(why: string): never {
    return this.refuse(`its pickle: ${why}`);
  }

  /** Moves over bytes that must be there. Returns where they begin. */
  private take(length: number): number {
    const begin = this.position;
    if (length > this.bytes.length - begin) this.fail("the file is truncated");
    this.position = begin + length;
    return begin;
  }

  private unsigned(width: 1 | 2 | 4 | 8): number {
    const at = this.take(width);
    if (width === 1) return this.view.getUint8(at);
    if (width === 2) return this.view.getUint16(at, true);
    if (width === 4) return this.view.getUint32(at, true);
    return Number(this.view.getBigUint64(at, true));
  }

  /** A whole number in two's complement. */
  private long(length: number): number | bigint {
    if (length > MOST_DIGITS) this.fail(`a whole number of ${length} bytes; ${MOST_DIGITS} are the most`);
    const begin = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.view.getUint8(begin + i));
    const signed = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }

  private string(length: number): string {
    const begin = this.take(length);
    return this.decoded(begin, begin + length);
  }

  private decoded(begin: number, end: number): string {
    try {
      return this.text.decode(this.bytes.subarray(begin, end));
    } catch {
      return this.fail("a text is not UTF-8");
    }
  }

  /** A text up to the end of its line. */
  private line(): string {
    const begin = this.position;
    const end = this.bytes.subarray(begin, begin + LONGEST_NAME).indexOf(0x0a);
    if (end < 0) return this.fail(`a name does not end within ${LONGEST_NAME} bytes`);
    this.position = begin + end + 1;
    return this.decoded(begin, begin + end);
  }

  /** The last value above the last mark. */
  private top(): Pickled {
    const value = this.stack.length > (this.marks.at(-1) ?? 0) ? this.stack.at(-1) : undefined;
    return value === undefined ? this.fail("an operation lacks its values") : value;
  }

  private pop(): Pickled {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  /** The last values, first of them first. */
  private popped(count: number): Pickled[] {
    const begin = this.stack.length - count;
    if (begin < (this.marks.at(-1) ?? 0)) this.fail("an operation lacks its values");
    return this.stack.splice(begin);
  }

  private sinceMark(): Pickled[] {
    const mark = this.marks.pop();
    return mark === undefined ? this.fail("an operation lacks its mark") : this.stack.splice(mark);
  }

  private remember(index: number): void {
    this.memo.set(index, this.top());
  }

  private recall(index: number): Pickled {
    const value = this.memo.get(index);
    return value === undefined ? this.fail(`there is no value ${index} in its memo`) : value;
  }

  private sequence(kind: "list" | "tuple", items: Pickled[]): PickledList {
    this.spend(1);
    return { kind, items };
  }

  private emptyDict(): PickledDict {
    this.spend(LARGE);
    return { kind: "dict", entries: new Map() };
  }

  private setItems(items: readonly Pickled[]): void {
    const dict = this.top();
    if (!isDict(dict)) this.fail("entries are put into what is no dictionary");
    if (items.length % 2 === 1) this.fail("a dictionary has a key without a value");
    for (let i = 0; i < items.length; i += 2) this.setItem(dict, items[i], items[i + 1]);
  }

  private setItem(dict: PickledDict, key: Pickled | undefined, value: Pickled | undefined): void {
    if (key === undefined || value === undefined) this.fail("a dictionary has a key without a value");
    if (typeof key === "object" && key !== null)
      this.fail(`a dictionary has a ${key.kind} as a key; texts and numbers can be keys`);
    dict.entries.set(key, value);
  }

  private append(items: readonly Pickled[]): void {
    const list = this.top();
    if (!isList(list) || list.kind !== "list") this.fail("values are appended to what is no list");
    for (const item of items) list.items.push(item);
  }

  private global(module: string, name: string): PickledGlobal {
    const full = `${module}.${name}`;
    const dtype = STORAGES.get(full);
    if (dtype !== undefined) return { kind: "global", name: full, dtype };
    if (GLOBALS.has(full)) return { kind: "global", name: full };
    return this.refuse(
      `names ${shortened(full)}, which this reader does not run: it makes tensors, dictionaries, lists and numbers alone. In Python, save the weights by themselves: torch.save(model.state_dict(), "weights.pth")`,
    );
  }

  /** A storage by what PyTorch calls its persistent id: ("storage", class, key, device, number of elements). */
  private storage(id: Pickled): PickledStorage {
    const [word, type, key, , count, part] = isList(id) ? id.items : [];
    if (word !== "storage" || !isGlobal(type) || typeof key !== "string" || !isSize(count)) {
      return this.fail("a persistent id is not that of a storage");
    }
    if (type.dtype === undefined) return this.fail(`a storage is of ${type.name}, which holds no numbers`);
    if (part !== undefined && part !== null)
      return this.fail(`storage ${shortened(key)} is a part of another one`);
    const known = this.storages.get(key);
    const storage: PickledStorage = { kind: "storage", key, dtype: type.dtype, count };
    if (known === undefined) this.storages.set(key, storage);
    else if (byteCount(known) !== byteCount(storage))
      return this.fail(`storage ${shortened(key)} has two sizes`);
    return storage;
  }

  /** What a name that may be used makes of what it is given. */
  private made(callee: Pickled | undefined, given: Pickled | undefined): Pickled {
    if (!isGlobal(callee) || !isList(given) || given.kind !== "tuple") {
      return this.fail("operation REDUCE calls what is no name");
    }
    if (given.items.length > MOST_ARGUMENTS) return this.fail(`${callee.name} is given too much`);
    const { name } = callee;
    const [first, ...others] = given.items;
    switch (name) {
      case ORDERED_DICT:
        return this.orderedDict(given.items);
      case "torch._utils._rebuild_tensor":
      case "torch._utils._rebuild_tensor_v2":
        return this.tensor(given.items);
      case "torch._utils._rebuild_parameter":
        if (isTensor(first)) return first;
        return this.fail("a parameter is made of what is no tensor");
      case "torch.Size":
        if (isList(first) && sizesOf(first) !== undefined) return first;
        return this.fail("a torch.Size is made of what are no sizes");
      case "torch.device":
        if (typeof first === "string") return [first, ...others.map(String)].join(":");
        return this.fail("a torch.device is made of what is no text");
      default:
        return this.fail(`calls ${name}, which this reader does not run`);
    }
  }

  /** Empty, or of pairs, as Python 2 wrote it. */
  private orderedDict([pairs]: readonly Pickled[]): PickledDict {
    const dict = this.emptyDict();
    this.ordered.add(dict);
    if (pairs === undefined) return dict;
    if (!isList(pairs)) return this.fail("an OrderedDict is made of what is no list of pairs");
    this.spend(pairs.items.length);
    for (const pair of pairs.items) {
      if (!isList(pair) || pair.items.length !== 2) return this.fail("an OrderedDict is made of no pairs");
      this.setItem(dict, pair.items[0], pair.items[1]);
    }
    return dict;
  }

  private tensor([storage, offset, size, stride]: readonly Pickled[]): PickledTensor {
    if (!isStorage(storage)) return this.fail("a tensor is made of what is no storage");
    const shape = sizesOf(size);
    const strides = sizesOf(stride);
    if (shape === undefined || strides?.length !== shape.length || !isSize(offset)) {
      return this.fail(
        `a tensor of storage ${shortened(storage.key)} has a shape, strides or an offset that cannot be`,
      );
    }
    this.spend(LARGE + 2 * shape.length);
    const tensor: PickledTensor = { kind: "tensor", storage, offset, shape, strides };
    const count = shape.reduce((product, length) => product * length, 1);
    // The last element is the farthest, as no stride is negative.
    const last = shape.reduce((sum, length, axis) => sum + (length - 1) * (strides[axis] ?? 0), offset);
    const inside = count === 0 ? offset <= storage.count : last < storage.count;
    if (!Number.isSafeInteger(count) || !inside) {
      return this.fail(
        `a tensor [${shape.join(", ")}] reaches beyond its storage ${shortened(storage.key)}, which has ${storage.count} elements`,
      );
    }
    return tensor;
  }
}
