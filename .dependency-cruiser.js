/**
 * The house: rooms of src/, topmost first, and the sub-rooms of each, topmost first. A room imports only from rooms above
 * it, a sub-room only from sub-rooms above it in its room; types count as imports. Files directly in a room stand below
 * its sub-rooms and gather them, but for those named in `above`, which stand above all of them.
 */
const HOUSE = [
  {
    room: "tensor",
    above: ["array", "shape", "graph", "leaves", "steady", "blocked", "core", "rules", "grad"],
    subrooms: ["convolution", "operations"],
  },
  { room: "program" },
  { room: "precision" },
  { room: "ode" },
  { room: "nn" },
  { room: "model" },
  { room: "data", subrooms: ["sources", "files", "image", "table", "boxes", "scenes"] },
  {
    room: "data/boxes",
    above: ["set", "check", "options", "statistics", "image.node"],
    subrooms: ["formats"],
  },
  { room: "train", subrooms: ["ranks"] },
  { room: "metrics", above: ["roc", "rows"], subrooms: ["table"] },
  {
    room: "backbones",
    above: ["image-normalization", "dilations", "conv-block", "backbone"],
    subrooms: ["published"],
  },
  { room: "flows", subrooms: ["transforms", "densities", "images", "completion"] },
  { room: "autoregressive", above: ["conditionals"], subrooms: ["networks"] },
  { room: "latent" },
  { room: "diffusion", subrooms: ["path", "objective", "solver", "density", "tasks", "models"] },
  {
    room: "representation",
    subrooms: ["mutual-information", "probe", "augment", "encoders", "infomax", "models"],
  },
  {
    room: "detection",
    subrooms: ["boxes", "augment", "network", "loss", "regions", "scale", "measure", "models"],
  },
  {
    room: "detection/models",
    above: ["detector", "tower-head", "yolo", "retina-anchors", "retina-net", "sliding-window"],
    subrooms: ["mtcnn", "faces"],
  },
  { room: "catalog" },
  {
    room: "report",
    above: ["points", "statistics"],
    subrooms: ["text", "raster", "plots", "plane", "boxes", "page", "leaderboard"],
  },
  { room: "tasks", subrooms: ["run", "import", "use", "measure", "export", "report", "fit", "compare"] },
  { room: "use" },
  {
    room: "serve",
    above: [
      "abilities",
      "metrics.node",
      "describe.node",
      "series.node",
      "work.node",
      "files-pipe.node",
      "worker.node",
      "pool.node",
      "queue",
      "bodies",
      "requests",
      "tensors",
      "open-api",
      "compute.node",
    ],
    subrooms: ["routes", "studio"],
  },
  {
    room: "cli",
    above: [
      "column-summary",
      "config-file",
      "detection-summary",
      "detection-video",
      "flags",
      "format",
      "options",
      "model-details",
      "model-help",
      "model-list",
      "progress",
      "ranking",
      "shards",
      "signals",
      "verb",
      "verb-options",
    ],
    subrooms: ["commands"],
  },
];

/** The rooms of the web application, topmost first. What stands beside them gathers them. */
const STUDIO = ["i18n", "ui", "playground", "detection", "runs", "use", "mark", "app", "handout"];

/** Used by every room, and knowing none. */
const ROOTS = [
  "append",
  "printable",
  "errors",
  "random",
  "nearest",
  "version",
  "options",
  "bounds",
  "memory",
  "memory.node",
];

/** Rooms that run in Node only; in all others, what needs Node stands in files named *.node.ts. */
const NODE_ROOMS = ["train", "report", "cli"];

const inRoom = (room) => `^src/${room}(/|\\.ts$|\\.node\\.ts$)`;
const fileIn = (room, name) => `^src/${room}/${name.replace(".", "\\.")}\\.ts$`;
const directlyIn = (room) => `^src/${room}/[^/]+\\.ts$`;
const nodeFile = "(^|[./])node\\.ts$";
// The package's main entrance is for Node; a browser uses the rooms' own.
const frontDoor = "^src/index\\.ts$";

const rooms = HOUSE.map(({ room }) => room).filter((room) => !room.includes("/"));
const browserFiles = {
  path: [...rooms.filter((room) => !NODE_ROOMS.includes(room)).map(inRoom), "^src/[^/]+\\.ts$"],
  pathNot: [nodeFile, frontDoor],
};

const roomOrder = rooms.slice(0, -1).map((room, i) => ({
  name: `${room}-imports-only-from-above`,
  severity: "error",
  from: { path: inRoom(room) },
  to: { path: rooms.slice(i + 1).map(inRoom) },
}));

const subroomOrder = HOUSE.flatMap(({ room, above = [], subrooms = [] }) => {
  const top = above.map((name) => fileIn(room, name));
  const folders = subrooms.map((subroom) => `^src/${room}/${subroom}/`);
  const below = { path: directlyIn(room), ...(top.length > 0 && { pathNot: top }) };
  const rule = (name, from, to) => ({ name: `${room}-${name}`, severity: "error", from, to });
  return [
    ...(top.length > 0 ? [rule("files-above-its-sub-rooms", { path: top }, { path: folders })] : []),
    ...(top.length > 0 ? [rule("files-above-its-files", { path: top }, below)] : []),
    ...folders.map((path, i) => rule(`${subrooms[i]}-imports-no-file-below`, { path }, below)),
    ...folders
      .slice(0, -1)
      .map((path, i) =>
        rule(`${subrooms[i]}-imports-only-from-above`, { path }, { path: folders.slice(i + 1) }),
      ),
  ];
});

const studioFolder = (room) => `^studio/${room}/`;
const studioOrder = STUDIO.map((room, i) => ({
  name: `studio-${room}-imports-only-from-above`,
  severity: "error",
  from: { path: studioFolder(room) },
  to: { path: [...STUDIO.slice(i + 1).map(studioFolder), "^studio/[^/]+$"] },
}));

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    ...roomOrder,
    ...subroomOrder,
    ...studioOrder,
    {
      name: "studio-uses-entrances",
      comment: "The studio uses eidos as any other program does: eidos/data, eidos/train, …",
      severity: "error",
      from: { path: "^studio/" },
      to: { path: "^src/" },
    },
    { name: "house-knows-no-studio", severity: "error", from: { path: "^src/" }, to: { path: "^studio/" } },
    {
      name: "roots-import-no-room",
      severity: "error",
      from: { path: ROOTS.map((name) => `^src/${name}\\.ts$`) },
      to: { path: ["^src/[^/]+/", "^src/catalog\\.ts$", frontDoor] },
    },
    {
      name: "root-of-its-own",
      comment: "A file directly in src/ is one of ROOTS, the catalog or the front door.",
      severity: "error",
      from: {
        path: "^src/[^/]+\\.ts$",
        pathNot: [...[...ROOTS, "catalog"].map((name) => `^src/${name}\\.ts$`), frontDoor],
      },
      to: {},
    },
    {
      name: "browser-file-imports-node-file",
      comment: "These rooms run in a browser: what needs Node stands in *.node.ts.",
      severity: "error",
      from: browserFiles,
      to: { path: nodeFile },
    },
    {
      name: "browser-file-imports-node-builtin",
      severity: "error",
      from: { ...browserFiles, pathNot: nodeFile },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "browser-file-imports-node-package",
      severity: "error",
      from: { ...browserFiles, pathNot: nodeFile },
      to: { path: "node_modules/(onnxruntime-node|sharp|koffi|@duckdb)/" },
    },
    {
      name: "no-circles",
      comment: "Types included.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "no-dev-dependency",
      comment: "Optional helpers (sharp, DuckDB, koffi, onnxruntime-web) are peer dependencies as well.",
      severity: "error",
      from: { path: "^src" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["npm-peer", "npm", "type-only"] },
    },
    { name: "unresolvable", severity: "error", from: { path: "^src/" }, to: { couldNotResolve: true } },
  ],
  options: {
    // The studio's imports of eidos lead to the build.
    exclude: { path: "^dist/" },
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
