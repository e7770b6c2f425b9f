import {
  EidosError,
  type ExportedAbilityName,
  type ImageInput,
  type Model,
  type Numbers,
  type Row,
} from "eidos/use";
import { ServerError } from "../ui/server.ts";
import { fileOfPicture } from "../use/picture-files.ts";
import { gridOf, type PictureForm, picturesOf } from "../use/pictures.ts";
import { classPort } from "./describe.ts";

// What the server of the studio would answer, from the model in the page.

/** A model of which it is known at run time alone what it can do: what it cannot, it refuses. */
export type AnyModel = Model<ExportedAbilityName>;

const plain = ({ shape, data }: Numbers<ArrayLike<number>>) => ({ shape, data: Array.from(data) });

const json = (body: unknown): Response => Response.json(body);

interface Drawing {
  readonly count?: number;
  readonly seed?: number;
  readonly label?: number | readonly number[];
  readonly states?: number;
}

/** Samples as they form: so many of the sampler's states, the last among them. */
async function states(model: AnyModel, { states: wanted = 1, ...options }: Drawing): Promise<Response> {
  const seen: Numbers<Uint8Array>[] = [];
  await model.sample({
    ...options,
    onStep: ({ samples }) => {
      if (samples !== undefined) seen.push(samples);
    },
  });
  const count = Math.min(wanted, seen.length);
  const kept = Array.from(
    { length: count },
    (_, i) => seen[Math.round(((i + 1) * seen.length) / count) - 1],
  ).filter((one) => one !== undefined);
  return json({
    samples: {
      shape: [kept.length, ...(kept[0]?.shape ?? [])],
      data: kept.flatMap(({ data }) => Array.from(data)),
    },
  });
}

/** A class for each sample, one after the other, where a model wants one and the reader wants any. */
function anyClasses(
  { record, classes }: AnyModel,
  { count = 1, label }: Drawing,
): { readonly label?: readonly number[] } {
  const port = classPort(record);
  if (label !== undefined || port === undefined || port.default !== undefined) return {};
  return { label: Array.from({ length: count }, (_, i) => i % Math.max(1, classes.length)) };
}

async function drawn(model: AnyModel, given: Drawing, isPicture: boolean): Promise<Response> {
  const asked = { ...given, ...anyClasses(model, given) };
  if (asked.states !== undefined) return states(model, asked);
  const { rows, samples } = await model.sample(asked);
  if (samples === undefined) return json({ rows });
  if (!isPicture) return json({ samples: plain(samples) });
  const [, channels = 1, height = 1, width = 1] = samples.shape;
  const form: PictureForm = { channels, height, width, isBinary: false };
  const grid = gridOf(picturesOf(plain(samples), form), form);
  return new Response(await fileOfPicture(grid.picture, grid.form), {
    headers: { "content-type": "image/png" },
  });
}

async function answer(model: AnyModel, path: string, { body, headers }: RequestInit): Promise<Response> {
  const { pathname, searchParams } = new URL(path, "http://page/");
  const ability = pathname.split("/").at(-1) as ExportedAbilityName;
  const isPicture = new Headers(headers).get("accept") === "image/png";
  const asked = typeof body === "string" ? JSON.parse(body) : {};
  // Files of images are sent as they are, all else as JSON.
  const samples: readonly Row[] | ImageInput = body instanceof Blob ? body : (asked.rows ?? []);
  switch (ability) {
    case "detect":
      return json(
        await model.detect(body as Blob, { confidence: Number(searchParams.get("confidence") ?? 0) }),
      );
    case "score":
      return json(await model.score(samples));
    case "embed":
      return json({ features: plain((await model.embed(samples)).features) });
    case "impute": {
      const { rows, ...options } = asked;
      return json(await model.impute(rows, options));
    }
    case "sample":
      return drawn(model, asked, isPicture);
  }
}

/** Answers by a model. @throws ServerError with what the model has against a request */
export function answersOf(model: AnyModel): (path: string, init: RequestInit) => Promise<Response> {
  return async (path, init) => {
    try {
      return await answer(model, path, init);
    } catch (error) {
      if (error instanceof EidosError) throw new ServerError(error.message, { cause: error });
      throw error;
    }
  };
}
