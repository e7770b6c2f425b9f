/** What the reader gave cannot be used; the message is for them, in their language. */
export class GivenError extends Error {
  override readonly name = "GivenError";
}
