import { load, pixelsOf } from "../../src/use/index.web.ts";

/** What the page offers to test/browser/use.test.ts. */
const api = { load, pixelsOf };

export type UsePage = typeof api;

Object.assign(globalThis, { eidosUse: api });
