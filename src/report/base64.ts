/** Bytes in base64, in Node and in a browser. */
export function base64(bytes: Uint8Array): string {
  let binary = "";
  // In pieces: the arguments of one call are limited.
  for (let start = 0; start < bytes.length; start += 8192) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(binary);
}
