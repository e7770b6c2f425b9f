import { planeNames } from "eidos/data";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PLANES } from "../../studio/playground/data.ts";
import { MODEL_KEYS, MODELS, type Settings } from "../../studio/playground/models.ts";
import {
  BRUSH,
  decodeState,
  decodeStrokes,
  encodeState,
  encodeStrokes,
  heldCoordinate,
  heldWidth,
  INITIAL,
  MOST_CORNERS,
  type PlayState,
  SPEEDS,
  VIEWS,
} from "../../studio/playground/state.ts";
import { beginStroke, extendStroke } from "../../studio/playground/strokes.ts";

const coordinate = fc.double({ min: -4.4, max: 4.4, noNaN: true }).map(heldCoordinate);
const stroke = fc.record({
  points: fc
    .array(fc.tuple(coordinate, coordinate), { minLength: 1, maxLength: 12 })
    .map((pairs) => pairs.flat()),
  deviation: fc.double({ min: BRUSH.min, max: 0.6, noNaN: true }).map(heldWidth),
});

/** Values that the controls of a model take. */
const settingsOf = (key: (typeof MODEL_KEYS)[number]): fc.Arbitrary<Settings> =>
  fc.record(
    Object.fromEntries(
      MODELS[key].controls.map((control) => [
        control.option,
        control.kind === "choice"
          ? fc.constantFrom(...control.values)
          : fc
              .integer({ min: 0, max: Math.floor((control.max - control.min) / control.step + 1e-9) })
              .map((k) => Number((control.min + k * control.step).toFixed(2))),
      ]),
    ),
    { requiredKeys: [] },
  );

const state: fc.Arbitrary<PlayState> = fc.record({
  data: fc.oneof(
    fc.constantFrom(...PLANES).map((name) => ({ kind: "plane" as const, name })),
    fc.array(stroke, { maxLength: 5 }).map((strokes) => ({ kind: "drawing" as const, strokes })),
  ),
  models: fc.uniqueArray(fc.constantFrom(...MODEL_KEYS), { maxLength: 4 }),
  settings: fc.record(Object.fromEntries(MODEL_KEYS.map((key) => [key, settingsOf(key)])), {
    requiredKeys: [],
  }),
  view: fc.constantFrom(...VIEWS),
  speed: fc.constantFrom(...SPEEDS),
  seed: fc.integer({ min: 0, max: 999_999 }),
  showData: fc.boolean(),
});

describe("the address of the playground", () => {
  it("holds the whole state, and nothing else", () => {
    fc.assert(
      fc.property(state, (given) => {
        const text = encodeState(given);
        const { state: found, dropped } = decodeState(text);
        expect(dropped).toEqual([]);
        expect({ ...found, settings: {} }).toEqual({ ...given, settings: {} });
        // Settings that are as at the beginning are left out: the text is the same.
        expect(encodeState(found)).toBe(text);
        expect(text).toMatch(/^[\w=&.,:-]*$/);
      }),
    );
  });

  it("leaves out and names what it does not understand, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const { state: found, dropped } = decodeState(text);
        expect(decodeState(encodeState(found))).toEqual({ state: found, dropped: [] });
        expect(dropped.every((part) => part.length <= 41)).toBe(true);
      }),
    );
  });

  it.each([
    "data=three-moons",
    "data=draw:A",
    "models=gan,gan",
    "models=gan,vae,maf,nice,ddpm,ddim,reflow",
    "models=constructor",
    "view=movie",
    "seed=-1",
    "seed=1e9",
    "gan.steps=3",
    "ddim.eta=2",
    "ddim.eta=0x1",
    "rectified-flow.solver=magic",
    "__proto__.x=1",
  ])("does not take %s", (part) => {
    expect(decodeState(`view=path&${part}`)).toEqual({
      state: { ...INITIAL, view: "path" },
      dropped: [part],
    });
  });

  it("stays short, and refuses drawings beyond its limit", () => {
    const corners = Array.from({ length: 2 * MOST_CORNERS }, (_, i) => heldCoordinate((i % 80) / 10 - 4));
    const text = encodeStrokes([{ points: corners, deviation: 0.2 }]);
    expect(text.length).toBeLessThan(3000);
    expect(decodeStrokes(text)?.[0]?.points).toEqual(corners);
    expect(decodeStrokes(`${text}.AAAAA`)).toBeUndefined();
  });
});

describe("what is drawn", () => {
  it("has numbers that an address can hold, inside of what is shown", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.double({ noNaN: true }), fc.double({ noNaN: true })), {
          minLength: 1,
          maxLength: 20,
        }),
        fc.double({ noNaN: true }),
        ([[x, y] = [0, 0], ...rest], width) => {
          const drawn = rest.reduce((line, [a, b]) => extendStroke(line, a, b), beginStroke(x, y, width));
          expect(decodeStrokes(encodeStrokes([drawn]))).toEqual([drawn]);
          expect(drawn.points.every((value) => Math.abs(value) <= 4.4001)).toBe(true);
        },
      ),
    );
  });
});

describe("the playground", () => {
  it("offers every distribution of the plane that eidos has", () => {
    expect(PLANES).toEqual(planeNames);
  });
});
