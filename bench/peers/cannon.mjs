import { readFileSync } from "node:fs";
import { argv } from "node:process";
import autocannon from "autocannon";

// Load by autocannon as a process of its own: options as JSON in, what came of it as JSON out. Its command reads bodies as text, which images are not.

const { file, ...options } = JSON.parse(argv[2]);
const { latency, duration, errors, timeouts, statusCodeStats } = await autocannon({
  ...options,
  body: readFileSync(file),
});
console.log(JSON.stringify({ latency, duration, errors, timeouts, statusCodeStats }));
