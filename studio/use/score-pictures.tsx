import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { language, number, t } from "../i18n/index.ts";
import { showValue } from "../runs/curves.ts";
import { Command } from "./command.tsx";
import { Drop } from "./drop.tsx";
import { oddestFirst, type Scored } from "./oddest.ts";
import { askAboutFile, smallPicture } from "./picture-files.ts";
import { forEachOf, useAsking } from "./work.ts";

/** Pictures that are asked about at once. */
const AT_ONCE = 4;

/** Pictures that are taken at most. */
const MOST = 200;

interface ScoredPicture {
  readonly name: string;
  readonly address: string;
  readonly score: number | null;
}

/** Pictures from the oddest to the most usual. */
export function ScorePictures({ name }: { readonly name: string }) {
  const pictures = useSignal<readonly ScoredPicture[]>([]);
  const asking = useAsking();
  const forget = (): void => {
    for (const { address } of pictures.peek()) URL.revokeObjectURL(address);
  };
  useEffect(() => forget, []);
  const scored = pictures.value;
  return (
    <>
      <Drop
        text={asking.isBusy.value ? t("use.busy") : t("use.pictures")}
        accept="image/*"
        isMultiple
        onFiles={(files) =>
          void asking.run(async () => {
            const taken = files.slice(0, MOST);
            const scores = await forEachOf(taken, AT_ONCE, async (file): Promise<ScoredPicture> => {
              const { logLikelihood } = await askAboutFile<Scored>(name, "score", file);
              return { name: file.name, address: await smallPicture(file), score: logLikelihood[0] ?? null };
            });
            forget();
            const order = oddestFirst(scores.map(({ score }) => score));
            pictures.value = order.flatMap((i) => scores[i] ?? []);
          })
        }
      />
      <p role="alert">{asking.said.value}</p>
      {scored.length > 0 && (
        <>
          <p role="status">{t("use.ranked.pictures", { count: number(scored.length) })}</p>
          <ol class="pictures">
            {scored.map(({ name: file, address, score }) => (
              <li key={address}>
                <figure>
                  <img src={address} alt="" />
                  <figcaption>
                    {t("use.picture.nats", {
                      name: file,
                      nats: score === null ? "−∞" : showValue(score, language.value),
                    })}
                  </figcaption>
                </figure>
              </li>
            ))}
          </ol>
        </>
      )}
      <Command
        name={name}
        verb="score"
        words={["photos", "--anomaly"]}
        code={['const { order, files } = await run.anomalies("photos");']}
      />
    </>
  );
}
