import { WeightsError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { readPytorchStream, readPytorchZip } from "./pytorch.ts";
import { readSafetensors } from "./safetensors.ts";

/** Weights out of a file. */
export interface Weights {
  readonly kind: "safetensors" | "pytorch";
  readonly tensors: ReadonlyMap<string, NdArray>;
  /** Where in the file they were, and what beside them was left out, for a person. */
  readonly notes: readonly string[];
}

const PYTORCH = 'in Python: torch.save(model.state_dict(), "weights.pth")';

/** A kind of file that holds no weights, or none that are read here. */
interface OtherFormat {
  /** Whether a file is of it, by its first bytes, each a character. */
  readonly is: (start: string) => boolean;
  readonly what: string;
  readonly instead: string;
}

const begins =
  (...marks: readonly string[]) =>
  (start: string): boolean =>
    marks.some((mark) => start.startsWith(mark));

const has =
  (mark: string, at: number) =>
  (start: string): boolean =>
    start.startsWith(mark, at);

/** ONNX is a Protocol Buffers message, whose first field is a small version, and the second one of the next six. */
function isOnnx(start: string): boolean {
  const [tag = 0, version = 0, next = 0] = [0, 1, 2].map((i) => start.charCodeAt(i));
  return (
    tag === 0x08 && version > 0 && version < 32 && [0x12, 0x1a, 0x22, 0x2a, 0x32, 0x3a, 0x42].includes(next)
  );
}

const FILE_ITSELF = "download the file itself";
const DECOMPRESS = "decompress it first";
const UNPACK = "unpack it first";
const SAFETENSORS = "save the weights by name, as safetensors";
const CHECK = "check the path";

const OTHER_FORMATS: readonly OtherFormat[] = [
  {
    is: begins("version https://git-lfs"),
    what: "a pointer of Git LFS, which stands for a file that was not fetched",
    instead: "fetch it with git lfs pull",
  },
  {
    is: (start) => /^(\u00ef\u00bb\u00bf)?\s*(<!--[\s\S]*?-->\s*)?<(!doctype html|html|head)/i.test(start),
    what: "a page of HTML, as a server sends it in place of a file",
    instead: FILE_ITSELF,
  },
  {
    is: (start) => /^\s*<\?xml/.test(start),
    what: "XML, as a server sends it in place of a file",
    instead: FILE_ITSELF,
  },
  { is: begins("\x1f\x8b"), what: "compressed with gzip", instead: DECOMPRESS },
  { is: begins("BZh"), what: "compressed with bzip2", instead: DECOMPRESS },
  { is: begins("\xfd7zXZ\0"), what: "compressed with xz", instead: DECOMPRESS },
  { is: begins("\x28\xb5\x2f\xfd"), what: "compressed with Zstandard", instead: DECOMPRESS },
  { is: begins("7z\xbc\xaf\x27\x1c"), what: "an archive of 7-Zip", instead: UNPACK },
  { is: begins("Rar!"), what: "an archive of RAR", instead: UNPACK },
  { is: has("ustar", 257), what: "an archive of tar", instead: UNPACK },
  { is: begins("\x93NUMPY"), what: "an array of NumPy (.npy)", instead: SAFETENSORS },
  { is: begins("\x89HDF\r\n\x1a\n"), what: "HDF5, as Keras writes it", instead: SAFETENSORS },
  { is: begins("GGUF"), what: "GGUF, quantized weights", instead: "take the original as safetensors" },
  { is: has("TFL3", 4), what: "a model of TensorFlow Lite", instead: SAFETENSORS },
  { is: isOnnx, what: "an ONNX model", instead: `save the weights of the network behind it, ${PYTORCH}` },
  { is: begins("\x89PNG", "\xff\xd8\xff", "GIF8"), what: "a picture", instead: CHECK },
  { is: begins("%PDF"), what: "a PDF", instead: CHECK },
  { is: (start) => /^\s*[{[]/.test(start), what: "a text, perhaps JSON", instead: CHECK },
];

/** A safetensors file begins with the length of its header, eight bytes, and the brace of the header. */
function isSafetensors(bytes: Uint8Array): boolean {
  if (bytes.length < 9 || bytes[8] !== 0x7b) return false;
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true) < 2n ** 32n;
}

/**
 * Reads weights of any kind that eidos reads, told by their first bytes, whatever the file is called: safetensors, and what `torch.save`
 * writes (`.pth`, `.pt`), zipped or not, without running anything: a state dict, or a checkpoint that holds one. Every length and offset
 * is checked before memory is taken. float16 and bfloat16 become float32, smaller integers int64.
 * @param fileName named in errors
 * @throws WeightsError where the file is damaged, names what this reader does not make, or is of another kind, which is named
 */
export function readWeights(bytes: Uint8Array, fileName: string): Weights {
  const fail = (why: string): never => {
    throw new WeightsError(`${fileName}: ${why}`);
  };
  const start = Array.from(bytes.subarray(0, 512), (byte) => String.fromCharCode(byte)).join("");
  if (bytes.length === 0) return fail("it is empty; fetch or save it again");
  if (isSafetensors(bytes)) {
    return { kind: "safetensors", tensors: readSafetensors(bytes, fileName).tensors, notes: [] };
  }
  if (begins("PK\x03\x04", "PK\x05\x06")(start)) return { kind: "pytorch", ...readPytorchZip(bytes, fail) };
  if (begins("\x80\x02", "\x80\x03", "\x80\x04", "\x80\x05")(start))
    return { kind: "pytorch", ...readPytorchStream(bytes, fail) };
  const other = OTHER_FORMATS.find(({ is }) => is(start));
  if (other !== undefined) return fail(`it is ${other.what}, not weights; ${other.instead}`);
  const text = /^[^\p{Cc}]+$/u.test(start.replace(/[\t\r\n\u0080-\u00ff]/g, " "));
  return fail(
    `it is ${text ? `a text that begins with ${JSON.stringify(start.slice(0, 40))}` : "of no kind that is known here, or damaged"}; weights are read as safetensors, or as PyTorch's .pth or .pt (${PYTORCH})`,
  );
}
