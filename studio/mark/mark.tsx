import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type TextKey, t } from "../i18n/index.ts";
import { chooseData } from "../runs/new-fit.tsx";
import { Segments, Select } from "../ui/fields.tsx";
import { send } from "../ui/server.ts";
import { Editor, go, zoomBy, zoomToFit, zoomToPixels } from "./editor.tsx";
import { Grid } from "./grid.tsx";
import { Classes, Objects, Proposals, Statistics } from "./panels.tsx";
import {
  change,
  copyBefore,
  enterMark,
  type Format,
  failure,
  flush,
  folders,
  history,
  isEditable,
  keepMine,
  listing,
  marks,
  neighbor,
  newFormat,
  openFolder,
  photo,
  readFolder,
  readFolders,
  redoStep,
  said,
  saveAgain,
  saved,
  takeTheirs,
  tried,
  undoStep,
  view,
} from "./store.ts";
import "../styles/mark.css";

const FORMATS: readonly { readonly value: Format; readonly text: string }[] = [
  { value: "coco", text: "COCO" },
  { value: "voc", text: "Pascal VOC" },
  { value: "yolo", text: "YOLO" },
];

const ABOUT_FORMATS = {
  coco: "mark.format.coco",
  voc: "mark.format.voc",
  yolo: "mark.format.yolo",
} as const satisfies Readonly<Record<Format, TextKey>>;

const isMaking = signal(false);

/** Makes a folder of drawn pictures, and opens it. */
async function makeExample(): Promise<void> {
  isMaking.value = true;
  await tried(async () => {
    const { folder } = await send<{ folder: string }>("POST", "mark/example", { seed: 0 });
    await readFolders();
    await openFolder(folder);
  });
  isMaking.value = false;
}

async function train(): Promise<void> {
  if (!(await flush())) return;
  chooseData(view.value.folder);
  location.hash = "#/runs";
}

function FolderChoice() {
  const known = folders.value;
  const list = listing.value;
  const { folder } = view.value;
  const names = known?.folders ?? [];
  return (
    <section class="card">
      <div class="tools">
        <Select
          label={t("mark.folder")}
          value={folder}
          options={[
            ...(names.includes(folder) ? [] : [{ value: folder, text: folder || t("mark.folder.choose") }]),
            ...names.map((value) => ({ value, text: value })),
          ]}
          onChange={(value) => void openFolder(value)}
        />
        {folder !== "" && (
          <button type="button" onClick={() => void flush().then(readFolder)}>
            {t("mark.read-again")}
          </button>
        )}
        <button type="button" disabled={isMaking.value} onClick={() => void makeExample()}>
          {isMaking.value ? t("use.busy") : t("mark.example")}
        </button>
        {list !== undefined && (
          <button
            type="button"
            class="primary"
            disabled={list.format === undefined}
            onClick={() => void train()}
          >
            {t("mark.train")}
          </button>
        )}
      </div>
      {known !== undefined && names.length === 0 && (
        <p class="notice">{t("mark.no-folders", { folder: known.folder })}</p>
      )}
      {list?.fault !== undefined && (
        <p class="notice" role="alert" lang="en">
          {list.fault}
        </p>
      )}
      {list !== undefined && list.fault === undefined && (
        <div class="row format">
          {list.format === undefined && (
            <Segments
              label={t("mark.format")}
              name="mark-format"
              value={newFormat.value}
              options={FORMATS}
              onChange={(value) => {
                newFormat.value = FORMATS.find((one) => one.value === value)?.value ?? "coco";
              }}
            />
          )}
          <p class="hint">
            {list.format === undefined
              ? t(ABOUT_FORMATS[newFormat.value])
              : t("mark.format.is", {
                  format: FORMATS.find(({ value }) => value === list.format)?.text ?? list.format,
                })}
          </p>
        </div>
      )}
    </section>
  );
}

/** How the photo stands to its file. */
function SavedState() {
  const state = saved.value;
  if (state.kind === "changed") {
    return (
      <div class="notice" role="alert">
        <p>{t("mark.changed")}</p>
        <div class="row">
          <button type="button" onClick={takeTheirs}>
            {t("mark.changed.theirs")}
          </button>
          <button type="button" onClick={keepMine}>
            {t("mark.changed.mine")}
          </button>
        </div>
      </div>
    );
  }
  if (state.kind === "failed") {
    return (
      <div class="notice" role="alert">
        <p>{t("mark.failed", { reason: state.reason })}</p>
        <button type="button" onClick={saveAgain}>
          {t("mark.again")}
        </button>
      </div>
    );
  }
  const text = state.kind === "saved" ? t("mark.saved") : t("mark.saving");
  return (
    <p class="hint saved-state" role="status">
      {said.value === "" ? text : `${text} · ${said.value}`}
    </p>
  );
}

function PhotoBar() {
  const here = photo.value;
  const { past, future } = history.value;
  return (
    <div class="tools photo-bar">
      <div class="row">
        <button type="button" disabled={neighbor(-1) === undefined} onClick={() => go(-1)}>
          {t("mark.before")}
        </button>
        <button type="button" disabled={neighbor(1) === undefined} onClick={() => go(1)}>
          {t("mark.next")}
        </button>
      </div>
      <div class="row">
        <button type="button" disabled={past.length === 0} onClick={undoStep}>
          {t("mark.undo")}
        </button>
        <button type="button" disabled={future.length === 0} onClick={redoStep}>
          {t("mark.redo")}
        </button>
        <button
          type="button"
          disabled={!isEditable.value || neighbor(-1) === undefined}
          onClick={() => void copyBefore()}
        >
          {t("mark.copy-before")}
        </button>
        <button
          type="button"
          disabled={!isEditable.value || marks.value.length > 0 || history.value.now.isMarked}
          onClick={() => change([])}
        >
          {t("mark.nothing")}
        </button>
      </div>
      <div class="row">
        <button
          type="button"
          disabled={here === undefined}
          onClick={() => zoomBy(1.5)}
          aria-label={t("mark.zoom-in")}
        >
          +
        </button>
        <button
          type="button"
          disabled={here === undefined}
          onClick={() => zoomBy(1 / 1.5)}
          aria-label={t("mark.zoom-out")}
        >
          −
        </button>
        <button type="button" disabled={here === undefined} onClick={zoomToFit}>
          {t("mark.zoom-fit")}
        </button>
        <button type="button" disabled={here === undefined} onClick={zoomToPixels}>
          {t("mark.zoom-pixels")}
        </button>
      </div>
    </div>
  );
}

/** The room in which photos are marked. */
export function Mark() {
  useEffect(enterMark, []);
  const here = photo.value;
  return (
    <div class="runs mark">
      <div class="intro">
        <h1>{t("mark.title")}</h1>
        <p class="hint">{t("mark.lead")}</p>
      </div>
      {failure.value !== "" && (
        <p class="notice" role="alert">
          {failure.value}
        </p>
      )}
      <FolderChoice />
      {listing.value !== undefined && (
        <div class="mark-room">
          <Grid />
          <section class="card photo-card" aria-labelledby="mark-photo">
            <h2 id="mark-photo">{view.value.photo || t("mark.no-photo")}</h2>
            <PhotoBar />
            {here?.fault !== undefined && (
              <p class="notice" lang="en">
                {here.fault}
              </p>
            )}
            <Editor />
            <SavedState />
            <details>
              <summary>{t("mark.keys.title")}</summary>
              <p id="mark-keys" class="hint">
                {t("mark.keys")}
              </p>
            </details>
          </section>
          <div class="mark-panels">
            <Classes />
            <Objects />
            <Proposals />
            <Statistics />
          </div>
        </div>
      )}
    </div>
  );
}
