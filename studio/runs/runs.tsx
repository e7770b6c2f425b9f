import { useEffect } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { Curves } from "./chart.tsx";
import { Differences, RunCards } from "./details.tsx";
import { NewFit } from "./new-fit.tsx";
import { Queue } from "./queue.tsx";
import { failure, list, shown, watchRuns } from "./store.ts";
import { RunTable } from "./table.tsx";

/** The room of runs: which there are, how they come on, and what sets them apart. */
export function Runs() {
  useEffect(watchRuns, []);
  const found = list.value;
  return (
    <div class="runs">
      <div class="intro">
        <h1>{t("runs.title")}</h1>
        <p class="hint">{t("runs.lead", { folder: found?.folder ?? "…" })}</p>
      </div>
      {failure.value !== undefined && (
        <p class="notice" role="alert">
          {failure.value || t("runs.unreachable")}
        </p>
      )}
      <NewFit />
      <Queue />
      {found?.runs.length === 0 ? (
        <p class="notice">{t("runs.none")}</p>
      ) : (
        <>
          <RunTable />
          {shown.value.length === 0 ? (
            <p class="notice">{t("runs.choose")}</p>
          ) : (
            <>
              <Curves />
              <Differences />
              <RunCards />
            </>
          )}
        </>
      )}
    </div>
  );
}
