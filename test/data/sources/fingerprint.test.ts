import { expect, test } from "vitest";
import { Fingerprint } from "../../../src/data/sources/data-set.ts";

/** FNV-1a in 64 bits by its definition, with big integers. */
function fnv1a(bytes: Uint8Array): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return hash.toString(16).padStart(16, "0");
}

test("is FNV-1a", () => {
  const bytes = new TextEncoder().encode("foobar");
  expect(new Fingerprint().bytes(bytes).toString()).toBe("85944171f73967e8");
  const many = Uint8Array.from({ length: 3000 }, (_, i) => (i * 37) % 256);
  expect(new Fingerprint().bytes(many).toString()).toBe(fnv1a(many));
});

test("parts are kept apart", () => {
  const of = (...texts: string[]) =>
    texts.reduce((hash, text) => hash.text(text), new Fingerprint()).toString();
  expect(of("ab", "c")).not.toBe(of("a", "bc"));
});
