import { readdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

// AVX2 alone, on a machine that has AVX-512: what most machines of readers are. PyTorch's libraries read it from variables. ONNX Runtime has none: it
// asks the processor. So the bench runs a copy of its library in which the question "which registers does the system save?" (the instruction
// XGETBV) has the answer that systems without AVX-512 give: 7, x87, SSE and AVX. The copy lies in a folder of the bench and goes with it.

/** The instruction XGETBV, and one of the same length whose answer is 7: lea eax, [rcx + 7], as ecx is 0 where XGETBV is asked for these registers. */
const XGETBV = Buffer.from([0x0f, 0x01, 0xd0]);
const SEVEN = Buffer.from([0x8d, 0x41, 0x07]);

/** The instruction CPUID, and within how many bytes behind one of it XGETBV is an instruction, and no part of data or of others. */
const CPUID = Buffer.from([0x0f, 0xa2]);
const NEAR = 96;

/** Two bytes in front, this makes of XGETBV's first byte the number of another instruction: and eax, 15; add eax, edx. */
const NUMBERED = 0x83;

/** A copy of a library that finds no AVX-512, and how many questions were answered in it. */
function withoutAvx512(library: Buffer): { readonly copy: Buffer; readonly questions: number } {
  const copy = Buffer.from(library);
  let questions = 0;
  for (let at = library.indexOf(XGETBV); at >= 0; at = library.indexOf(XGETBV, at + 1)) {
    if (!library.subarray(Math.max(0, at - NEAR), at).includes(CPUID) || library[at - 2] === NUMBERED)
      continue;
    SEVEN.copy(copy, at);
    questions++;
  }
  return { copy, questions };
}

/**
 * The variables by which contenders use AVX2 and no AVX-512.
 * @param folder that the copy of ONNX Runtime's library is written into
 * @throws Error on other systems than Linux on x64, or where the library asks in another way
 */
export async function avx2Environment(folder: string): Promise<Readonly<Record<string, string>>> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error("--avx2: only Linux on x64 loads another library by a variable");
  }
  const require = createRequire(import.meta.url);
  const root = join(dirname(require.resolve("onnxruntime-node/package.json")), "bin");
  const [version] = (await readdir(root)).filter((name) => name.startsWith("napi-"));
  const place = join(root, version ?? "", "linux", "x64");
  const [name] = (await readdir(place)).filter((file) => file.startsWith("libonnxruntime.so"));
  if (name === undefined) throw new Error(`--avx2: ${place} has no library of ONNX Runtime`);
  const { copy, questions } = withoutAvx512(await readFile(join(place, name)));
  if (questions === 0) throw new Error(`--avx2: ${name} asks the processor in another way`);
  await writeFile(join(folder, name), copy);
  return {
    LD_LIBRARY_PATH: folder,
    ATEN_CPU_CAPABILITY: "avx2",
    ONEDNN_MAX_CPU_ISA: "AVX2",
    MKL_ENABLE_INSTRUCTIONS: "AVX2",
  };
}
