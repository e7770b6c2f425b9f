/**
 * The rooms of src/, topmost first. A room imports only from itself and from rooms above it; files directly in src/
 * (errors, random, nearest) stand above all rooms.
 */
const rooms = [
  "tensor",
  "program",
  "ode",
  "nn",
  "data",
  "train",
  "metrics",
  "flows",
  "autoregressive",
  "latent",
  "diffusion",
  "representation",
  "detection",
  "report",
  "catalog",
  "cli",
];

const room = (name) => `^src/${name}(/|\\.ts$|\\.node\\.ts$)`;
const nodeFile = "(^|[./])node\\.ts$";
// The package's main entrance is for Node; a browser uses the rooms' own.
const frontDoor = "^src/index\\.ts$";
const browserRooms = rooms.filter((name) => !["train", "report", "cli"].includes(name));

const roomOrder = rooms.slice(0, -1).map((name, index) => ({
  name: `${name}-imports-only-from-above`,
  severity: "error",
  from: { path: room(name) },
  to: { path: rooms.slice(index + 1).map(room) },
}));

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    ...roomOrder,
    {
      name: "roots-import-no-room",
      comment: "errors, random and nearest are used by every room and know none; index.ts gathers them all.",
      severity: "error",
      from: { path: "^src/[^/]+\\.ts$", pathNot: ["^src/index\\.ts$", "^src/catalog"] },
      to: { path: "^src/[^/]+/" },
    },
    {
      name: "browser-file-imports-node-file",
      comment: "These rooms run in a browser: what needs Node stands in *.node.ts.",
      severity: "error",
      from: { path: [...browserRooms.map(room), "^src/[^/]+\\.ts$"], pathNot: [nodeFile, frontDoor] },
      to: { path: nodeFile },
    },
    {
      name: "browser-file-imports-node-builtin",
      severity: "error",
      from: { path: [...browserRooms.map(room), "^src/[^/]+\\.ts$"], pathNot: nodeFile },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "browser-file-imports-node-package",
      severity: "error",
      from: { path: [...browserRooms.map(room), "^src/[^/]+\\.ts$"], pathNot: nodeFile },
      to: { path: "node_modules/(onnxruntime-node|sharp|@duckdb)/" },
    },
    {
      name: "no-cycles",
      comment: "Types may refer to each other; running code may not go in circles.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only", "dynamic-import"] } },
    },
    {
      name: "no-dev-dependency",
      comment: "Optional helpers (sharp, DuckDB, onnxruntime-web) are peer dependencies as well.",
      severity: "error",
      from: { path: "^src" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["npm-peer", "npm", "type-only"] },
    },
    { name: "unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
