import type { FastifyInstance, FastifyReply } from "fastify";
import { z } from "zod";
import { exampleAsked, marksToSave } from "./mark-answers.node.ts";
import type { ShownPicture, StudioMarks } from "./marks.node.ts";
import { bodyOf } from "./routes.node.ts";

// What the page asks the server for to mark photos.

/** Bytes of a body: the marks of a photo, with what its file has for them. */
const BODY_LIMIT = 16e6;

const ofFolder = z.object({ folder: z.string().min(1).max(4096) });
const ofPhoto = ofFolder.extend({ photo: z.string().min(1).max(4096) });

/** A picture of a stranger: whatever it holds, it is shown as pixels alone. */
const PICTURE_POLICY = "default-src 'none'; sandbox";

function sendPicture(reply: FastifyReply, { type, bytes }: ShownPicture, cache: string): FastifyReply {
  return reply
    .type(type)
    .header("content-security-policy", PICTURE_POLICY)
    .header("cache-control", cache)
    .send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

/** Adds the routes of photos that are marked to a server that admits its own page alone. */
export function addMarkRoutes(app: FastifyInstance, marks: StudioMarks): void {
  app.get("/api/mark/folders", () => marks.folders());
  app.get("/api/mark/photos", ({ query }) => marks.list(bodyOf(ofFolder, query).folder));
  app.get("/api/mark/photo", ({ query }) => {
    const { folder, photo } = bodyOf(ofPhoto, query);
    return marks.read(folder, photo);
  });
  app.put("/api/mark/photo", { bodyLimit: BODY_LIMIT }, ({ query, body }) => {
    const { folder, photo } = bodyOf(ofPhoto, query);
    return marks.save(folder, photo, bodyOf(marksToSave, body));
  });
  app.get("/api/mark/image", async ({ query }, reply) => {
    const { folder, photo } = bodyOf(ofPhoto, query);
    return sendPicture(reply, await marks.image(folder, photo), "no-cache");
  });
  app.get("/api/mark/thumbnail", async ({ query }, reply) => {
    const { folder, photo } = bodyOf(ofPhoto, query);
    return sendPicture(reply, await marks.thumbnail(folder, photo), "private, max-age=60");
  });
  app.get("/api/mark/statistics", ({ query }) => marks.statistics(bodyOf(ofFolder, query).folder));
  app.post("/api/mark/example", { bodyLimit: 1000 }, async ({ body }) => ({
    folder: await marks.example(bodyOf(exampleAsked, body).seed),
  }));
}
