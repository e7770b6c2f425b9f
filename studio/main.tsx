import { effect } from "@preact/signals";
import { render } from "preact";
import { type Room, Shell } from "./app/shell.tsx";
import { language, t } from "./i18n/index.ts";
import { Playground } from "./playground/playground.tsx";
import { startPlayground } from "./playground/store.ts";
import { applySettings } from "./ui/settings.ts";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/playground.css";

/** Rooms of the studio in the order in which they are offered; each has its own part of the address. */
const PLAYGROUND: Room = { id: "playground", name: "app.room.playground", view: Playground };
const ROOMS: readonly Room[] = [PLAYGROUND];

applySettings();
startPlayground();
effect(() => {
  language.value;
  document.title = `${t("app.room.playground")} · ${t("app.title")}`;
});
const root = document.getElementById("app");
if (root === null) throw new Error("the page has no element #app");
render(<Shell rooms={ROOMS} current={PLAYGROUND} />, root);
