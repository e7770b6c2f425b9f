import { readFileSync } from "node:fs";
import process, { argv } from "node:process";
import autocannon from "autocannon";

// Load by autocannon as a process of its own: options as JSON in, what came of it as JSON out. Its command reads bodies as text, which images are not.

const { file, ...options } = JSON.parse(argv[2]);
const { latency, duration, errors, timeouts, statusCodeStats } = await autocannon({
  ...options,
  body: readFileSync(file),
  // As HTTP clients do it: otherwise the last packet of a large body waits for 40 ms where a server reads the others slowly.
  setupClient: (client) => process.nextTick(() => client.conn.setNoDelay(true)),
});
console.log(JSON.stringify({ latency, duration, errors, timeouts, statusCodeStats }));
