import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { FileError } from "../../errors.ts";

// A page to hand out: one HTML file that holds a model and all that runs it. It opens from a disk, and works without a server or a network.

/** What `npm run build` has built of studio/handout, and ONNX Runtime; from the source tree the same folders. */
const BUILT = fileURLToPath(new URL("../../../dist/", import.meta.url));
const RUNTIME = "ort-wasm-simd-threaded.wasm";

/** Name of the page in the folder of an export. */
export const PAGE = "page.html";

/**
 * What the page may do. It fetches nothing, from nowhere: its files are inside. Its worker is made of text of the page.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'unsafe-inline' 'wasm-unsafe-eval'",
  "worker-src data:",
  "style-src 'unsafe-inline'",
  "img-src blob: data:",
  "media-src blob: mediastream:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** A script as it may stand in a page: nothing in it ends its element. */
const inElement = (code: string): string => code.replaceAll(/<(\/script|!--)/gi, "\\x3c$1");

async function built(path: string): Promise<Buffer> {
  return readFile(join(BUILT, path)).catch((cause: unknown) => {
    throw new FileError(`${join(BUILT, path)}: the page is not built; run npm run build`, { cause });
  });
}

const squeeze = promisify(gzip);

async function fileElement(name: string, bytes: Uint8Array): Promise<string> {
  const letters = (await squeeze(bytes, { level: 9 })).toString("base64");
  return `<script type="text/plain" data-file="${escaped(name)}">${letters}</script>`;
}

/**
 * The page of an exported model.
 * @param title what the browser shows before the model is open
 * @param files of the model by their names: model.json and ONNX files
 * @throws FileError where the page is not built
 */
export async function handoutPage(
  title: string,
  files: Readonly<Record<string, Uint8Array>>,
): Promise<string> {
  const inside = {
    [RUNTIME]: await built(`studio/runtime/${RUNTIME}`),
    "worker.js": await built("handout/worker.js"),
    ...files,
  };
  const elements: string[] = [];
  for (const [name, bytes] of Object.entries(inside)) elements.push(await fileElement(name, bytes));
  const [code, style] = [await built("handout/page.js"), await built("handout/page.css")];
  const licenses = await built("studio/licenses.txt");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<style>${style.toString()}</style>
</head>
<body>
<div id="app"></div>
<!-- Licences of what others have written and this page holds: -->
<script type="text/plain">${inElement(licenses.toString())}</script>
${elements.join("\n")}
<script type="module">${inElement(code.toString())}</script>
</body>
</html>
`;
}
