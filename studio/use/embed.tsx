import { useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { useEffect } from "preact/hooks";
import { number, t } from "../i18n/index.ts";
import { Command } from "./command.tsx";
import { Drop, TableDrop } from "./drop.tsx";
import { type FeaturesAnswer, nearestTo, type Plane, planeOf, vectorsOf } from "./features.ts";
import { GivenError } from "./given-error.ts";
import { FeatureMap } from "./map.tsx";
import { askAboutFile, smallPicture } from "./picture-files.ts";
import type { TableRow } from "./tables.ts";
import { askRun, forEachOf, useAsking } from "./work.ts";

/** Items that are placed at most. */
const MOST = 300;

/** Neighbors that are shown. */
const NEIGHBORS = 8;

/** Pictures that are asked about at once. */
const AT_ONCE = 4;

/** Fewer than this make no map. */
const FEWEST = 3;

interface Embedded {
  readonly names: readonly string[];
  /** Addresses of pictures; undefined for rows. */
  readonly pictures: readonly (string | undefined)[];
  readonly vectors: readonly Float32Array[];
  readonly plane: Plane;
}

/** The first cells of a row, to know it by. */
const nameOf = (row: TableRow, i: number): string =>
  t("use.row", {
    row: number(i + 1),
    cells: Object.entries(row)
      .slice(0, 4)
      .map(([column, cell]) => `${column} ${cell ?? ""}`)
      .join(", "),
  });

function Neighbors({
  embedded,
  chosen,
  onChoose,
}: {
  readonly embedded: Embedded;
  readonly chosen: number;
  readonly onChoose: (item: number) => void;
}) {
  const { names, pictures, vectors } = embedded;
  const near = nearestTo(vectors, chosen, NEIGHBORS);
  return (
    <div class="neighbors">
      <h3 aria-live="polite">{t("use.near", { name: names[chosen] ?? "" })}</h3>
      <ol class="pictures">
        {near.map(({ item, distance }) => (
          <li key={item}>
            <button type="button" class="quiet" onClick={() => onChoose(item)}>
              {pictures[item] !== undefined && <img src={pictures[item]} alt="" />}
              <span>{t("use.distance", { name: names[item] ?? "", distance: number(distance, 3) })}</span>
            </button>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** What is near what, by the features of the model: a map, and neighbors of what is chosen in it. */
export function Embed({ name, model }: { readonly name: string; readonly model: UsableModel }) {
  const embedded = useSignal<Embedded | undefined>(undefined);
  const chosen = useSignal(0);
  const asking = useAsking();
  const forget = (): void => {
    for (const address of embedded.peek()?.pictures ?? [])
      if (address !== undefined) URL.revokeObjectURL(address);
  };
  useEffect(() => forget, []);
  const show = async (next: Omit<Embedded, "plane">): Promise<void> => {
    const plane = await planeOf(next.vectors);
    forget();
    chosen.value = 0;
    embedded.value = { ...next, plane };
  };
  const embedFiles = (files: readonly File[]): Promise<void> =>
    asking.run(async () => {
      if (files.length < FEWEST) throw new GivenError(t("use.embed.few", { least: FEWEST }));
      const taken = files.slice(0, MOST);
      const items = await forEachOf(taken, AT_ONCE, async (file) => ({
        vectors: vectorsOf(await askAboutFile<FeaturesAnswer>(name, "embed", file)),
        picture: await smallPicture(file),
      }));
      await show({
        names: taken.map((file) => file.name),
        pictures: items.map(({ picture }) => picture),
        vectors: items.flatMap(({ vectors }) => vectors),
      });
    });
  const isRows = model.sample.kind === "rows";
  const now = embedded.value;
  return (
    <section class="card" aria-labelledby="use-embed">
      <h2 id="use-embed">{t("use.embed")}</h2>
      {isRows ? (
        <TableDrop
          model={model}
          isBusy={asking.isBusy.value}
          onTable={(read) =>
            void asking.run(async () => {
              const rows = (await read()).rows.slice(0, MOST);
              if (rows.length < FEWEST) throw new GivenError(t("use.embed.few", { least: FEWEST }));
              const answer = await askRun<FeaturesAnswer>(name, "embed", { rows });
              await show({
                names: rows.map(nameOf),
                pictures: rows.map(() => undefined),
                vectors: vectorsOf(answer),
              });
            })
          }
        />
      ) : (
        <Drop
          text={asking.isBusy.value ? t("use.busy") : t("use.pictures")}
          accept="image/*"
          isMultiple
          onFiles={(files) => void embedFiles(files)}
        />
      )}
      <p role="alert">{asking.said.value}</p>
      {now !== undefined && (
        <div class="walk">
          <div>
            <FeatureMap
              label={t("use.map", {
                count: number(now.names.length),
                percent: number(100 * now.plane.share),
              })}
              places={now.plane.places}
              names={now.names}
              pictures={now.pictures}
              chosen={chosen.value}
              near={new Set(nearestTo(now.vectors, chosen.value, NEIGHBORS).map(({ item }) => item))}
              onChoose={(item) => {
                chosen.value = item;
              }}
            />
            <p class="hint">
              {t("use.map", { count: number(now.names.length), percent: number(100 * now.plane.share) })}
            </p>
          </div>
          <Neighbors
            embedded={now}
            chosen={chosen.value}
            onChoose={(item) => {
              chosen.value = item;
            }}
          />
        </div>
      )}
      {isRows ? (
        <Command
          name={name}
          verb="embed"
          words={["rows.csv", "--out", "features.csv"]}
          code={['const { features } = await run.embed("rows.csv");']}
        />
      ) : (
        <Command
          name={name}
          verb="neighbours"
          words={["photo.jpg", "--among", "photos", "--count", NEIGHBORS]}
          code={[`const near = await run.neighbors("photo.jpg", "photos", { count: ${NEIGHBORS} });`]}
        />
      )}
    </section>
  );
}
