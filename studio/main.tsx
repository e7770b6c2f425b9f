import { effect } from "@preact/signals";
import { render } from "preact";
import { later } from "./app/later.tsx";
import { roomId } from "./app/route.ts";
import { type Room, Shell } from "./app/shell.tsx";
import { language, t } from "./i18n/index.ts";
import { Playground } from "./playground/playground.tsx";
import { Runs } from "./runs/runs.tsx";
import { hasServer } from "./ui/server.ts";
import { applySettings } from "./ui/settings.ts";
import { Use } from "./use/use.tsx";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/playground.css";
import "./styles/runs.css";
import "./styles/use.css";

/** Rooms of the studio in the order in which they are offered; each has its own part of the address. */
const PLAYGROUND: Room = { id: "playground", name: "app.room.playground", view: Playground };
const DETECTION: Room = {
  id: "detection",
  name: "app.room.detection",
  view: later(async () => (await import("./detection/detection.tsx")).Detection),
};
const OF_SERVER: readonly Room[] = [
  {
    id: "mark",
    name: "app.room.mark",
    view: later(async () => (await import("./mark/mark.tsx")).Mark),
  },
  { id: "runs", name: "app.room.runs", view: Runs },
  { id: "use", name: "app.room.use", view: Use },
];
const ROOMS: readonly Room[] = [PLAYGROUND, DETECTION, ...(hasServer ? OF_SERVER : [])];

const current = (): Room => ROOMS.find(({ id }) => id === roomId.value) ?? PLAYGROUND;

function Studio() {
  return <Shell rooms={ROOMS} current={current()} />;
}

applySettings();
effect(() => {
  language.value;
  document.title = `${t(current().name)} · ${t("app.title")}`;
});
const root = document.getElementById("app");
if (root === null) throw new Error("the page has no element #app");
render(<Studio />, root);
