import { computed, signal } from "@preact/signals";
import type { ListedRun, OfferedModel, PhotoToMark, RunList } from "eidos/serve";
import { t } from "../i18n/index.ts";
import { ask, askForPicture } from "../ui/server.ts";
import { abilityPath } from "../use/store.ts";
import { photoPath } from "./address.ts";
import { add, marks, photo, photos, said, tried, view } from "./store.ts";
import { doubt, fresh, type Proposal, type Suspect, suspects } from "./suspects.ts";

// What a run finds in the photos: proposals that are accepted or mended, and which photos are worth a look.

/** Objects below this score are not asked for. */
const LEAST = 0.05;

/** Runs that find objects. */
export const detectors = signal<readonly string[]>([]);
export const run = signal("");
/** The least score of what is proposed. */
export const threshold = signal(0.4);
export const isLooking = signal(false);

interface Found {
  readonly run: string;
  readonly objects: readonly Proposal[];
}

/** What belongs to a folder; it is of no account in another one. */
interface OfFolder<T> {
  readonly folder: string;
  readonly value: T;
}

const found = signal<OfFolder<ReadonlyMap<string, Found>> | undefined>(undefined);
/** What was found in the folder, by photo; those that were turned down are left out. */
const foundHere = computed(
  (): ReadonlyMap<string, Found> =>
    found.value?.folder === view.value.folder ? found.value.value : new Map(),
);
const wanted = signal<Proposal | undefined>(undefined);

/** What is proposed for the open photo and not marked yet. */
export const proposals = computed((): readonly Proposal[] => {
  const here = photo.value;
  const own = here && foundHere.value.get(here.path);
  return own === undefined || own.run !== run.value ? [] : fresh(own.objects, marks.value, threshold.value);
});

/** The proposal that is chosen, as long as it is proposed for the open photo. */
export const chosenProposal = computed(() => proposals.value.find((proposal) => proposal === wanted.value));

export function chooseProposal(proposal: Proposal | undefined): void {
  wanted.value = proposal;
}

const isFinder = (entry: ListedRun, finders: ReadonlySet<string>): boolean =>
  "status" in entry && entry.status !== "not begun" && finders.has(entry.model);

/** Reads which runs there are, the latest first. @throws ServerError */
export async function readDetectors(): Promise<void> {
  const [list, { models }] = await Promise.all([
    ask<RunList>("runs"),
    ask<{ models: readonly OfferedModel[] }>("models"),
  ]);
  const finders = new Set(models.filter(({ purpose }) => purpose === "find").map(({ name }) => name));
  const names = list.runs
    .filter((entry) => isFinder(entry, finders))
    .toSorted((a, b) => ("created" in a && "created" in b ? b.created.localeCompare(a.created) : 0))
    .map(({ name }) => name);
  detectors.value = names;
  if (!names.includes(run.value)) run.value = names[0] ?? "";
}

function put(path: string, own: Found): void {
  found.value = { folder: view.value.folder, value: new Map([...foundHere.value, [path, own]]) };
}

/** What the run finds in a photo. @throws ServerError */
async function lookAt(path: string): Promise<readonly Proposal[]> {
  const name = run.value;
  const { folder } = view.value;
  const image = await askForPicture(photoPath("image", folder, path));
  const { objects } = await ask<{ objects: readonly Proposal[] }>(
    abilityPath(name, "detect", { confidence: LEAST }),
    {
      method: "POST",
      headers: { "content-type": "application/octet-stream", accept: "application/json" },
      body: image,
    },
  );
  if (view.value.folder === folder) put(path, { run: name, objects });
  return objects;
}

/** Asks the run for proposals for the open photo. */
export async function propose(): Promise<void> {
  const here = photo.value;
  if (here === undefined || run.value === "") return;
  isLooking.value = true;
  await tried(async () => {
    await lookAt(here.path);
    said.value = t("mark.proposed", { count: proposals.value.length });
  });
  isLooking.value = false;
}

/** Makes a proposal an object of the photo. @param box as it was mended */
export function accept(proposal: Proposal, box = proposal.box): void {
  const here = photo.value;
  if (here === undefined) return;
  chooseProposal(undefined);
  dismiss(proposal);
  add([{ class: proposal.label, box }]);
}

export function acceptAll(): void {
  const all = proposals.value;
  chooseProposal(undefined);
  add(all.map(({ label, box }) => ({ class: label, box })));
  said.value = t("mark.accepted", { count: all.length });
}

/** Turns a proposal down. */
export function dismiss(proposal: Proposal): void {
  const here = photo.value;
  const own = here && foundHere.value.get(here.path);
  if (here === undefined || own === undefined) return;
  put(here.path, { ...own, objects: own.objects.filter((one) => one !== proposal) });
}

// Many photos

/** A photo that is worth a look. */
export interface Queued {
  readonly path: string;
  /** 0 to 1. */
  readonly weight: number;
  /** What is likely wrong with its marks; none for a photo that is not marked. */
  readonly suspects: readonly Suspect[];
}

export type QueueKind = "unsure" | "errors";

interface Queue {
  readonly kind: QueueKind;
  readonly photos: readonly Queued[];
}

const filled = signal<OfFolder<Queue> | undefined>(undefined);
export const queue = computed(() =>
  filled.value?.folder === view.value.folder ? filled.value.value : undefined,
);
/** How far the run has looked. */
export const progress = signal<{ readonly done: number; readonly all: number } | undefined>(undefined);
let isStopped = false;

export function stopLooking(): void {
  isStopped = true;
}

/** Has the run look at all photos that are not marked, or all that are, and lists those that are worth a look. */
export async function fillQueue(kind: QueueKind): Promise<void> {
  const { folder } = view.value;
  const all = photos.value.filter(({ objects }) => (objects === undefined) === (kind === "unsure"));
  isStopped = false;
  const listed: Queued[] = [];
  filled.value = { folder, value: { kind, photos: [] } };
  progress.value = { done: 0, all: all.length };
  await tried(async () => {
    for (const [i, { path }] of all.entries()) {
      if (isStopped || view.value.folder !== folder) return;
      const objects = await lookAt(path);
      if (kind === "unsure") listed.push({ path, weight: doubt(objects), suspects: [] });
      else {
        const { marks: own } = await ask<PhotoToMark>(photoPath("photo", folder, path));
        const wrong = suspects(own, objects);
        const [first] = wrong;
        if (first !== undefined) listed.push({ path, weight: first.weight, suspects: wrong });
      }
      progress.value = { done: i + 1, all: all.length };
      filled.value = {
        folder,
        value: { kind, photos: listed.toSorted((a, b) => b.weight - a.weight) },
      };
    }
  });
  progress.value = undefined;
}
