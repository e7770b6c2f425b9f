import { batch, computed, effect, signal } from "@preact/signals";
import type { AskedMarks, MarkFolder, MarkFolders, PhotoToMark, Saving } from "eidos/serve";
import { t } from "../i18n/index.ts";
import { ask, ServerError, send } from "../ui/server.ts";
import { decodeMark, encodeMark, type MarkView, NO_VIEW, photoPath } from "./address.ts";
import { type Box, boxBetween, overlap, type View } from "./geometry.ts";
import { begin, type Drawn, type History, type Marked, redo, step, undo } from "./history.ts";

// The folder and the photo that are marked, and what becomes of every change: it is saved by itself, soon after it was made.

/** Milliseconds between a change and its saving, and between two looks whether somebody else has changed the photo. */
const SAVE_AFTER = 500;
const LOOK_EVERY = 4000;

/** What is marked where no class was named yet. */
const FIRST_CLASS = "object";

export const view = signal<MarkView>(NO_VIEW);
export const folders = signal<MarkFolders | undefined>(undefined);
export const listing = signal<MarkFolder | undefined>(undefined);

/** What went wrong, in words; empty where nothing did. */
export const failure = signal("");

/** What was done last, for those who do not see it. */
export const said = signal("");

export type Format = AskedMarks["format"];

/** The format that a folder without annotations gets. */
export const newFormat = signal<Format>("coco");

/** Classes of the folder, those that were just named among them. */
export const classes = signal<readonly string[]>([]);
/** The class of what is drawn next. */
export const currentClass = signal("");

/** The open photo, without its marks. */
export interface OpenPhoto {
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly hidden: number;
  readonly fault: string | undefined;
  readonly image: HTMLImageElement;
}

export const photo = signal<OpenPhoto | undefined>(undefined);
export const history = signal<History>(begin({ marks: [], isMarked: false }));
export const chosen = signal<number | undefined>(undefined);
/** How the photo lies in its frame; undefined: as a whole. */
export const frameView = signal<View | undefined>(undefined);

/** How the photo stands to its file. */
export type Saved =
  | { readonly kind: "saved" }
  | { readonly kind: "waiting" }
  | { readonly kind: "saving" }
  | { readonly kind: "failed"; readonly reason: string }
  /** Somebody else has changed it, and there are changes here as well. */
  | { readonly kind: "changed"; readonly now: PhotoToMark };

export const saved = signal<Saved>({ kind: "saved" });

export const marks = computed(() => history.value.now.marks);
export const isEditable = computed(() => photo.value !== undefined && photo.value.fault === undefined);
export const photos = computed(() => listing.value?.photos ?? []);
const format = computed(() => listing.value?.format ?? newFormat.value);
/** What the folder's format has words for. */
export const holds = computed(() => ({
  difficult: format.value === "coco" || format.value === "voc",
  crowd: format.value === "coco",
}));

/** What the files have for a mark: its entry, and the outlines that go with its box. */
interface Held {
  readonly kept?: string | undefined;
  readonly outlines?: readonly (readonly number[])[] | undefined;
  /** The box that the outlines are of. */
  readonly box?: Box;
}
const held = new Map<number, Held>();
let ids = 0;
let version = "";

export function heldOf(id: number): Held | undefined {
  return held.get(id);
}

/** Runs what asks the server, and says what it refuses. @returns whether it went well */
export async function tried(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    failure.value = error.message || t("runs.unreachable");
    return false;
  }
}

export async function readFolders(): Promise<void> {
  folders.value = await ask<MarkFolders>("mark/folders");
}

/** The photo of a position after the open one, or before it. */
export function neighbor(by: number): string | undefined {
  const at = photos.value.findIndex(({ path }) => path === view.value.photo);
  return at < 0 ? undefined : photos.value[at + by]?.path;
}

function loadImage(path: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = new URL(`api/${photoPath("image", view.value.folder, path)}`, document.baseURI).href;
  return image.decode().then(
    () => image,
    () => {
      throw new ServerError(t("mark.no-image", { name: path }));
    },
  );
}

/** Takes what the server has of a photo. */
function take(found: PhotoToMark): Marked {
  held.clear();
  version = found.version;
  const drawn = found.marks.map(({ kept, outlines, box, difficult, crowd, ...mark }): Drawn => {
    const id = ++ids;
    held.set(id, { kept, outlines, box });
    return { id, class: mark.class, box, difficult, crowd };
  });
  return { marks: drawn, isMarked: found.isMarked };
}

function shown(path: string, found: PhotoToMark, image: HTMLImageElement): void {
  batch(() => {
    const { width, height, hidden, fault } = found;
    photo.value = { path, width, height, hidden, fault, image };
    history.value = begin(take(found));
    chosen.value = undefined;
    frameView.value = undefined;
    saved.value = { kind: "saved" };
  });
}

/** Reads the open photo anew. */
async function readPhoto(path: string): Promise<void> {
  const { folder } = view.peek();
  const isStill = (): boolean => view.peek().folder === folder && view.peek().photo === path;
  const [found, image] = await Promise.all([
    ask<PhotoToMark>(photoPath("photo", folder, path)),
    loadImage(path),
  ]);
  if (isStill()) shown(path, found, image);
}

/** Opens a photo, after what is not saved yet was saved. */
export async function openPhoto(path: string): Promise<void> {
  if (path === view.value.photo) return;
  if (!(await flush())) return;
  failure.value = "";
  said.value = "";
  batch(() => {
    view.value = { ...view.value, photo: path };
    photo.value = undefined;
  });
}

/** Opens a folder, after what is not saved yet was saved. */
export async function openFolder(folder: string): Promise<void> {
  if (!(await flush())) return;
  failure.value = "";
  batch(() => {
    view.value = { folder, photo: "" };
    photo.value = undefined;
    listing.value = undefined;
  });
  if (folder !== "") await readFolder();
}

/** Reads which photos the folder has, and its classes. */
export async function readFolder(): Promise<void> {
  const { folder } = view.value;
  await tried(async () => {
    const found = await ask<MarkFolder>(`mark/photos?${new URLSearchParams({ folder })}`);
    if (folder !== view.value.folder) return;
    batch(() => {
      listing.value = found;
      classes.value = found.classes;
      if (!found.classes.includes(currentClass.value)) currentClass.value = found.classes[0] ?? "";
      const isThere = found.photos.some(({ path }) => path === view.value.photo);
      if (!isThere) view.value = { folder, photo: found.photos[0]?.path ?? "" };
    });
  });
}

// Changes

/** A change of the open photo, which is saved soon. @param kind changes of one kind after one another are undone at once */
export function change(next: readonly Drawn[], kind = "", isMarked = true): void {
  if (!isEditable.value) return;
  history.value = step(history.value, { marks: next, isMarked }, kind);
  touched();
}

function touched(): void {
  const isGone = chosen.value !== undefined && !marks.value.some(({ id }) => id === chosen.value);
  if (isGone) chosen.value = undefined;
  // What was changed elsewhere is decided first.
  if (saved.value.kind === "changed") return;
  saved.value = { kind: "waiting" };
  clearTimeout(timer);
  timer = setTimeout(() => void save(), SAVE_AFTER);
}

export function undoStep(): void {
  if (history.value.past.length === 0) return;
  history.value = undo(history.value);
  touched();
}

export function redoStep(): void {
  if (history.value.future.length === 0) return;
  history.value = redo(history.value);
  touched();
}

/** Adds objects, and chooses the last of them. */
export function add(boxes: readonly (Omit<Drawn, "id" | "difficult" | "crowd"> & Partial<Drawn>)[]): void {
  const further = boxes.map((box): Drawn => ({ difficult: false, crowd: false, ...box, id: ++ids }));
  if (further.length === 0) return;
  nameClasses(further.map((one) => one.class));
  change([...marks.value, ...further]);
  chosen.value = further.at(-1)?.id;
}

/** The class of what is drawn next; a folder without classes gets its first one. */
export function classToDraw(): string {
  if (currentClass.value === "") currentClass.value = classes.value[0] ?? FIRST_CLASS;
  return currentClass.value;
}

/** Adds names to the classes. */
export function nameClasses(names: readonly string[]): void {
  const further = [...new Set(names)].filter((name) => !classes.value.includes(name));
  if (further.length > 0) classes.value = [...classes.value, ...further];
}

export function changeMark(id: number, values: Partial<Omit<Drawn, "id">>, kind = ""): void {
  change(
    marks.value.map((mark) => (mark.id === id ? { ...mark, ...values } : mark)),
    kind,
  );
}

export function removeMark(id: number): void {
  const at = marks.value.findIndex((mark) => mark.id === id);
  change(marks.value.filter((mark) => mark.id !== id));
  chosen.value = marks.value[Math.min(at, marks.value.length - 1)]?.id;
}

/** The class of the chosen object, and of what is drawn next. */
export function chooseClass(name: string): void {
  currentClass.value = name;
  if (chosen.value !== undefined) changeMark(chosen.value, { class: name });
}

/** Copies the objects of the photo before that are not marked here already. */
export async function copyBefore(): Promise<void> {
  const before = neighbor(-1);
  const here = photo.value;
  if (before === undefined || here === undefined) return;
  await tried(async () => {
    const found = await ask<PhotoToMark>(photoPath("photo", view.value.folder, before));
    if (photo.value !== here) return;
    const further = found.marks.flatMap(({ class: name, box, difficult, crowd }) => {
      const inside = boxBetween([box[0], box[1]], [box[2], box[3]], here);
      const isThere = marks.value.some(
        (mark) => mark.class === name && inside && overlap(mark.box, inside) > 0.95,
      );
      return inside === undefined || isThere ? [] : [{ class: name, box: inside, difficult, crowd }];
    });
    add(further);
    said.value = t("mark.copied", { count: further.length });
  });
}

// Saving

let timer: ReturnType<typeof setTimeout> | undefined;
let saving: Promise<void> = Promise.resolve();

/** Saves the open photo, after what is being saved already. */
function save(): Promise<void> {
  clearTimeout(timer);
  saving = saving.then(saveNow);
  return saving;
}

async function saveNow(): Promise<void> {
  const here = photo.value;
  if (here === undefined || (saved.value.kind !== "waiting" && saved.value.kind !== "failed")) return;
  const { folder } = view.value;
  const now = history.value.now;
  saved.value = { kind: "saving" };
  try {
    const body: AskedMarks = {
      version,
      isMarked: now.isMarked,
      format: newFormat.value,
      classes: [...classes.value],
      marks: now.marks.map(({ id, class: name, box, difficult, crowd }) => {
        const kept = held.get(id)?.kept;
        return { class: name, box: [...box], difficult, crowd, ...(kept !== undefined && { kept }) };
      }),
    };
    const outcome = await send<Saving>("PUT", photoPath("photo", folder, here.path), body);
    if (photo.value?.path !== here.path) return;
    if (outcome.kind === "changed") {
      saved.value = { kind: "changed", now: outcome.now };
      return;
    }
    version = outcome.version;
    for (const [i, { id }] of now.marks.entries()) held.set(id, { ...held.get(id), kept: outcome.kept[i] });
    noteCount(here.path, now);
    if (history.value.now === now) saved.value = { kind: "saved" };
    else touched();
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    saved.value = { kind: "failed", reason: error.message || t("runs.unreachable") };
  }
}

/** The list shows how many objects a photo has now. */
function noteCount(path: string, { marks: own, isMarked }: Marked): void {
  const list = listing.value;
  if (list === undefined) return;
  const objects = isMarked || own.length > 0 ? own.length : undefined;
  listing.value = {
    ...list,
    format: list.format ?? newFormat.value,
    photos: list.photos.map((one) => (one.path === path ? { path, objects } : one)),
  };
}

/** Saves what is not saved yet. @returns whether nothing is left that would be lost */
export async function flush(): Promise<boolean> {
  if (saved.value.kind === "waiting" || saved.value.kind === "failed") await save();
  else await saving;
  if (saved.value.kind === "waiting") await save();
  return saved.value.kind === "saved";
}

/** Tries again what could not be saved. */
export function saveAgain(): void {
  if (saved.value.kind === "failed") void save();
}

/** Takes the photo as somebody else has changed it; what was changed here goes. */
export function takeTheirs(): void {
  const here = photo.value;
  if (here === undefined || saved.value.kind !== "changed") return;
  shown(here.path, saved.value.now, here.image);
  void readFolder();
}

/** Saves what was changed here in place of what somebody else has saved. */
export function keepMine(): void {
  if (saved.value.kind !== "changed") return;
  version = saved.value.now.version;
  saved.value = { kind: "waiting" };
  void save();
}

/** Looks whether somebody else has changed the photo: what is not edited here is shown as it is now, and told. */
async function look(): Promise<void> {
  const here = photo.value;
  if (here === undefined || saved.value.kind !== "saved" || document.visibilityState !== "visible") return;
  const known = version;
  const found = await ask<PhotoToMark>(photoPath("photo", view.value.folder, here.path)).catch(
    () => undefined,
  );
  const isStill = photo.value === here && saved.value.kind === "saved" && version === known;
  if (found === undefined || !isStill || found.version === known) return;
  shown(here.path, found, here.image);
  failure.value = t("mark.changed-shown");
  void readFolder();
}

// The room

const ROOM = "#/mark";

function readAddress(): void {
  const at = location.hash.indexOf("?");
  const wanted = decodeMark(at < 0 ? "" : location.hash.slice(at + 1));
  if (wanted.folder === "") return;
  if (wanted.folder !== view.value.folder) {
    view.value = wanted;
    void readFolder();
  } else if (wanted.photo !== "" && wanted.photo !== view.value.photo) void openPhoto(wanted.photo);
}

/** Opens the room; the returned function leaves it. */
export function enterMark(): () => void {
  void tried(readFolders);
  readAddress();
  const onHash = (): void => {
    if (location.hash.startsWith(ROOM)) readAddress();
  };
  const onHide = (): void => {
    if (document.visibilityState === "hidden") void flush();
  };
  const onUnload = (event: BeforeUnloadEvent): void => {
    if (saved.value.kind !== "saved") event.preventDefault();
  };
  const stopAddress = effect(() => {
    const text = encodeMark(view.value);
    const address = text === "" ? ROOM : `${ROOM}?${text}`;
    if (address !== location.hash) window.history.replaceState(null, "", address);
  });
  const stopPhoto = effect(() => {
    const { photo: path } = view.value;
    if (path !== "" && listing.value !== undefined && photo.peek()?.path !== path)
      void tried(() => readPhoto(path));
  });
  const looking = setInterval(() => void look(), LOOK_EVERY);
  addEventListener("hashchange", onHash);
  addEventListener("beforeunload", onUnload);
  document.addEventListener("visibilitychange", onHide);
  return () => {
    void flush();
    stopAddress();
    stopPhoto();
    clearInterval(looking);
    removeEventListener("hashchange", onHash);
    removeEventListener("beforeunload", onUnload);
    document.removeEventListener("visibilitychange", onHide);
  };
}
