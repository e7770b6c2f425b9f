import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  AskedMarks,
  MarkFolder,
  MarkFolders,
  MarkStatistics,
  PhotoToMark,
  Saving,
} from "../../src/serve/index.node.ts";
import { type Studio, startStudio } from "../../src/serve/index.node.ts";
import { temporaryFolder } from "../support.ts";

// What the studio's page asks for about photos that are marked, folders of strangers among them.

let folder: string;
let studio: Studio;
let cookie: string;

const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${studio.url}/api/mark/${path}`, {
    ...init,
    headers: { cookie, origin: studio.url, "content-type": "application/json" },
  });

const json = async <T>(path: string): Promise<T> => (await ask(path)).json() as Promise<T>;

const query = (own: string, photo?: string): string =>
  `?${new URLSearchParams({ folder: own, ...(photo !== undefined && { photo }) })}`;

const save = (own: string, photo: string, body: unknown): Promise<Response> =>
  ask(`photo${query(own, photo)}`, { method: "PUT", body: JSON.stringify(body) });

const picture = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: "teal" } });

beforeAll(async () => {
  folder = await temporaryFolder();
  const data = join(folder, "data");
  for (const path of ["cats & dogs/sub", "empty", ".hidden", "tables", "strange"])
    await mkdir(join(data, path), { recursive: true });
  const photos = join(data, "cats & dogs");
  await writeFile(join(photos, "a.jpg"), await picture(600, 300).jpeg().toBuffer());
  await writeFile(join(photos, "sub", "猫.png"), await picture(60, 30).png().toBuffer());
  await writeFile(join(photos, "scan.tiff"), await picture(40, 20).tiff().toBuffer());
  await writeFile(join(data, ".hidden", "a.jpg"), "");
  await writeFile(join(data, "tables", "a.csv"), "a,b\n1,2\n");
  await writeFile(join(folder, "secret.png"), await picture(9, 9).png().toBuffer());
  await writeFile(
    join(data, "strange", "page.png"),
    '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)" width="9" height="9"/>',
  );
  await writeFile(join(data, "strange", "words.jpg"), "<script>alert(1)</script>");
  await symlink(join(folder, "secret.png"), join(data, "strange", "link.png"));
  await symlink(folder, join(data, "out"));
  await mkdir(join(folder, "page"));
  await writeFile(join(folder, "page", "index.html"), "<!doctype html>");
  studio = await startStudio({ port: 0, runs: join(folder, "runs"), data }, join(folder, "page"));
  const { headers } = await fetch(studio.address, { redirect: "manual" });
  cookie = String(headers.get("set-cookie")).split(";")[0] ?? "";
});

afterAll(async () => {
  await studio.close();
  await rm(folder, { recursive: true, force: true });
});

describe("folders of photos", () => {
  it("are those of the folder of data that hold some, in folders below them, too", async () => {
    const { folders } = await json<MarkFolders>("folders");
    expect(folders).toEqual(["./cats & dogs", "./strange"]);
  });

  it("list their photos, as far as these are in them", async () => {
    const own = await json<MarkFolder>(`photos${query("./cats & dogs")}`);
    expect(own).toEqual({
      classes: [],
      photos: [{ path: "a.jpg" }, { path: "scan.tiff" }, { path: "sub/猫.png" }],
    });
    const strange = await json<MarkFolder>(`photos${query("./strange")}`);
    expect(strange.photos.map(({ path }) => path)).toEqual(["page.png", "words.jpg"]);
  });

  it.each(["..", "../runs", "/", "./out", "./none", "./tables/a.csv", "\0", ""])(
    "are nowhere else: %j",
    async (own) => {
      for (const what of ["photos", "statistics"]) {
        const { status } = await ask(what + query(own));
        expect([400, 403, 404, 422], `${what} ${status}`).toContain(status);
      }
    },
  );
});

describe("a photo", () => {
  it("comes as it is, or in a format that browsers show", async () => {
    const same = await ask(`image${query("./cats & dogs", "a.jpg")}`);
    expect(same.headers.get("content-type")).toBe("image/jpeg");
    expect(same.headers.get("content-security-policy")).toBe("default-src 'none'; sandbox");
    const stored = await readFile(join(folder, "data", "cats & dogs", "a.jpg"));
    expect(Buffer.from(await same.arrayBuffer()).equals(stored)).toBe(true);
    const scan = await ask(`image${query("./cats & dogs", "scan.tiff")}`);
    expect(scan.headers.get("content-type")).toBe("image/png");
    expect(await sharp(Buffer.from(await scan.arrayBuffer())).metadata()).toMatchObject({
      width: 40,
      height: 20,
    });
  });

  it("is made small, and not larger than it is", async () => {
    for (const [name, width, height] of [
      ["a.jpg", 256, 128],
      ["sub/猫.png", 60, 30],
    ] as const) {
      const answer = await ask(`thumbnail${query("./cats & dogs", name)}`);
      expect(answer.headers.get("content-type")).toBe("image/webp");
      expect(await sharp(Buffer.from(await answer.arrayBuffer())).metadata()).toMatchObject({
        width,
        height,
      });
    }
  });

  it("is made small anew when it was changed", async () => {
    const path = join(folder, "data", "cats & dogs", "changing.png");
    const size = async () => {
      const answer = await ask(`thumbnail${query("./cats & dogs", "changing.png")}`);
      return (await sharp(Buffer.from(await answer.arrayBuffer())).metadata()).width;
    };
    await writeFile(path, await picture(20, 20).png().toBuffer());
    await ask(`photos${query("./cats & dogs")}`);
    expect(await size()).toBe(20);
    await writeFile(path, await picture(33, 20).png().toBuffer());
    expect(await size()).toBe(33);
    await rm(path);
  });

  it.each(["page.png", "words.jpg", "link.png", "../a.jpg", "..%2f..%2fsecret.png", "/etc/passwd", ""])(
    "is pixels in its folder, and nothing else: %j",
    async (name) => {
      for (const what of ["image", "thumbnail", "photo"]) {
        const answer = await ask(what + query("./strange", name));
        expect([400, 404, 422], `${what} ${answer.status}`).toContain(answer.status);
        const { error } = (await answer.json()) as { error: string };
        expect(error.split("\n")).toHaveLength(1);
      }
    },
  );
});

describe("marks", () => {
  const marks: AskedMarks = {
    version: "none",
    isMarked: true,
    format: "coco",
    classes: ["cat", "<img src=x onerror=alert(1)>"],
    marks: [{ class: "cat", box: [10, 20, 110, 120], difficult: true, crowd: false }],
  };

  it("are saved beside the photos, and told to a second window", async () => {
    const own = "./cats & dogs";
    const answer = (await (
      await save(own, "sub/猫.png", { ...marks, marks: [{ ...marks.marks[0], box: [1, 2, 11, 22] }] })
    ).json()) as Saving;
    expect(answer.kind).toBe("saved");
    const file = JSON.parse(await readFile(join(folder, "data", own, "annotations.json"), "utf8"));
    expect(file.images).toEqual([{ id: 1, file_name: "sub/猫.png", width: 60, height: 30 }]);
    expect(file.annotations).toEqual([
      { id: 1, image_id: 1, category_id: 1, bbox: [1, 2, 10, 20], area: 200, iscrowd: 0, ignore: 1 },
    ]);
    const second = (await (await save(own, "sub/猫.png", marks)).json()) as Saving;
    expect(second).toMatchObject({
      kind: "changed",
      now: { marks: [{ class: "cat", box: [1, 2, 11, 22] }] },
    });
    expect(await json<PhotoToMark>(`photo${query(own, "sub/猫.png")}`)).toMatchObject({
      isMarked: true,
      width: 60,
      height: 30,
      hidden: 0,
      marks: [{ class: "cat", difficult: true }],
    });
    const list = await json<MarkFolder>(`photos${query(own)}`);
    expect(list.format).toBe("coco");
    expect(list.photos).toContainEqual({ path: "sub/猫.png", objects: 1 });
    expect((await readdir(join(folder, "data", own))).sort()).toEqual([
      "a.jpg",
      "annotations.json",
      "scan.tiff",
      "sub",
    ]);
  });

  it("are counted as eidos inspect does", async () => {
    const own = "./cats & dogs";
    const { lines, counts } = await json<MarkStatistics>(`statistics${query(own)}`);
    expect(lines[0]).toContain("1 object of 2 classes");
    expect(counts.total.classes.map(({ name, objects }) => [name, objects])).toEqual([
      ["cat", 1],
      ["<img src=x onerror=alert(1)>", 0],
    ]);
    const none = await ask(`statistics${query("./strange")}`);
    expect(none.status).toBe(422);
  });

  it.each([
    ["a box without an area", { marks: [{ class: "a", box: [5, 5, 5, 9], difficult: false, crowd: false }] }],
    [
      "a box of other things",
      { marks: [{ class: "a", box: [1, 2, 3, "4"], difficult: false, crowd: false }] },
    ],
    ["a class without a name", { marks: [{ class: "", box: [1, 2, 3, 4], difficult: false, crowd: false }] }],
    ["another format", { format: "csv" }],
    ["more than is asked for", { path: "../a.json" }],
    ["no version", { version: undefined }],
  ])("are refused where they are none: %s", async (_, wrong) => {
    expect((await save("./cats & dogs", "a.jpg", { ...marks, ...wrong })).status).toBe(400);
  });

  it("are saved for photos of the folder alone", async () => {
    for (const name of ["../a.jpg", "none.jpg", "annotations.json"])
      expect((await save("./cats & dogs", name, marks)).status).toBe(404);
    expect((await save("./out", "secret.png", marks)).status).toBe(403);
    expect((await readdir(folder)).sort()).toEqual(["data", "page", "secret.png"]);
  });
});

describe("the example", () => {
  it("is a folder of drawn pictures, of which some are not marked yet; the same ones by the same seed", async () => {
    const make = async (): Promise<string> => {
      const answer = await ask("example", { method: "POST", body: JSON.stringify({ seed: 3 }) });
      return ((await answer.json()) as { folder: string }).folder;
    };
    const [first, second] = [await make(), await make()];
    expect([first, second]).toEqual(["./example-photos", "./example-photos-2"]);
    const [a, b] = [
      await json<MarkFolder>(`photos${query(first)}`),
      await json<MarkFolder>(`photos${query(second)}`),
    ];
    expect(a).toEqual(b);
    expect(a).toMatchObject({ format: "coco", classes: ["digit"] });
    const open = a.photos.filter(({ objects }) => objects === undefined);
    expect([open.length, a.photos.length]).toEqual([8, 56]);
  });
});
