import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

// Compiles assembly/update.ts to WebAssembly and writes its bytes as src/train/update-code.ts, which is committed, so that
// neither users nor pages need a compiler or another file: `npx tsx scripts/build-update.ts`.

const root = new URL("../", import.meta.url);

/** The module's bytes. @param shared whether threads share its memory @throws Error with the compiler's messages */
export async function compileUpdate(shared: boolean): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const source = await readFile(new URL("assembly/update.ts", root), "utf8");
  const { error, stderr } = await asc.main(
    [
      "update.ts",
      "--outFile",
      "update.wasm",
      "-O3",
      "--noAssert",
      "--runtime",
      "stub",
      "--importMemory",
      "--enable",
      "simd",
      ...(shared ? ["--enable", "threads", "--sharedMemory", "--maximumMemory", "65536"] : []),
    ],
    {
      readFile: (name) => (name === "update.ts" ? source : null),
      writeFile: (_name, contents) => {
        if (typeof contents !== "string") binary = contents;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || binary === undefined) throw new Error(`${error?.message}\n${stderr.toString()}`);
  return binary;
}

/** Declares a constant of these bytes. */
function declared(name: string, what: string, bytes: Uint8Array): readonly string[] {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,100}/g) ?? [];
  return [
    "",
    `/** ${what} */`,
    `export const ${name} = Uint8Array.from(`,
    "  atob(",
    ...lines.map((line, i) => `    ${i === 0 ? "" : "  "}"${line}"${i === lines.length - 1 ? "," : " +"}`),
    "  ),",
    "  (character) => character.charCodeAt(0),",
    ");",
  ];
}

/** The text of the module that holds both. */
async function updateCode(): Promise<string> {
  return [
    "// Made by `npx tsx scripts/build-update.ts` of assembly/update.ts; do not edit.",
    ...declared("UPDATE_CODE", "The WebAssembly module of assembly/update.ts.", await compileUpdate(false)),
    ...declared("SHARED_UPDATE_CODE", "The same, whose memory threads share.", await compileUpdate(true)),
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(new URL("src/train/update-code.ts", root), await updateCode());
}
