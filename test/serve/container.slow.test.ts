import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmod, cp, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { freePort } from "../../bench/serving-load.ts";
import { serveOptions } from "../../src/serve/options.ts";
import { installedPackage, root } from "../packed.ts";
import { present, until } from "../support.ts";
import { ask, fixture } from "./support.ts";

// What the Dockerfile and the Kubernetes example say is done here without Docker: the packed package in an empty folder, started as another user by
// the entry point of the image, looked at by its health check. The image itself is not built.

const example = (name: string): Promise<string> => readFile(join(root, "examples", "serve", name), "utf8");

/** The instructions of a Dockerfile, lines that go on joined, comments left out. */
function instructions(text: string): readonly (readonly [string, string])[] {
  const plain = text.replaceAll(/^#.*\n/gm, "").replaceAll(/\\\n/g, " ");
  return plain.split("\n").flatMap((line) => {
    const [, name, rest = ""] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, rest] as const];
  });
}

const dockerfile = instructions(await example("Dockerfile"));
/** The last instruction of a name: it is the one that counts. */
const instruction = (name: string): string =>
  present(
    dockerfile.findLast(([one]) => one === name),
    name,
  )[1];
const words = (text: string): readonly string[] => z.array(z.string()).parse(JSON.parse(text));

/** Nobody, where this user may become them. */
const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

let project = "";
beforeAll(async () => {
  project = await installedPackage(["sharp"]);
  await mkdir(join(project, "runs"));
  await cp(fixture("fcos-digit-scenes"), join(project, "runs", "scenes"), { recursive: true });
  await chmod(project, 0o755);
});
afterAll(() => rm(project, { recursive: true, force: true }));

describe("the Dockerfile", () => {
  it("installs what is packed without scripts, in a stage of its own, and runs without root", () => {
    expect(dockerfile.filter(([name]) => name === "FROM")).toHaveLength(2);
    const [, install] = present(dockerfile.find(([name]) => name === "RUN"));
    expect(install).toMatch(/npm install --ignore-scripts --omit=dev \.\/eidos-\*\.tgz sharp/);
    expect(instruction("USER")).toBe("node");
    expect(dockerfile.findIndex(([name]) => name === "USER")).toBeLessThan(
      dockerfile.findIndex(([name]) => name === "ENTRYPOINT"),
    );
    const { port } = serveOptions.parse({});
    expect(instruction("EXPOSE")).toBe(String(port));
    expect(instruction("HEALTHCHECK")).toContain(`127.0.0.1:${port}/v2/health/ready`);
  });

  it("starts a server that its health check finds, that answers, and that ends on SIGTERM", async () => {
    const port = await freePort();
    const [command = "", ...entry] = words(instruction("ENTRYPOINT"));
    const [, health = ""] = /CMD (\[.*\])$/.exec(instruction("HEALTHCHECK")) ?? [];
    const [, ...check] = words(health).map((word) => word.replace(":8000", `:${port}`));
    expect(command).toBe("node");
    const healthy = async (): Promise<number> => {
      const run = promisify(execFile)(process.execPath, check, { cwd: project, ...user });
      return run.then(
        () => 0,
        (error: { readonly code: number }) => error.code,
      );
    };
    expect(await healthy()).toBe(1);
    // Nothing there may be written by this user.
    const child: ChildProcess = spawn(
      process.execPath,
      [...entry, "runs/scenes", "--port", String(port), "--workers", "1", "--log", "warn"],
      {
        cwd: project,
        env: { PATH: process.env.PATH, NODE_ENV: "production", EIDOS_TOKEN: "secret" },
        ...user,
      },
    );
    let stderr = "";
    child.stderr?.on("data", (part: Buffer) => {
      stderr += part;
    });
    const ended = new Promise<number | null>((resolve) => {
      child.on("error", (error) => {
        stderr += error.message;
        resolve(null);
      });
      child.on("close", resolve);
    });
    try {
      await until(() => /^listening on/m.test(stderr) || child.exitCode !== null);
      expect(stderr).toMatch(new RegExp(`^listening on http://0\\.0\\.0\\.0:${port}$`, "m"));
      expect(await healthy()).toBe(0);
      const server = { url: `http://127.0.0.1:${port}` };
      expect((await ask(server, "/detect", Uint8Array.of(1))).status).toBe(401);
      const headers = { authorization: "Bearer secret" };
      // The image is decoded by sharp: the answer says what is wrong with it.
      const reply = await ask(server, "/detect", Uint8Array.of(1, 2, 3), headers);
      expect(reply.body.error).toMatch(/no image file/);
    } finally {
      child.kill("SIGTERM");
    }
    expect(await ended).toBe(0);
  });
});

const probe = z.looseObject({ httpGet: z.object({ path: z.string(), port: z.string() }) });
const deployment = z.looseObject({
  kind: z.literal("Deployment"),
  spec: z.looseObject({
    selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
    template: z.object({
      metadata: z.looseObject({
        labels: z.record(z.string(), z.string()),
        annotations: z.record(z.string(), z.string()),
      }),
      spec: z.looseObject({
        terminationGracePeriodSeconds: z.int(),
        securityContext: z.object({ runAsNonRoot: z.literal(true), runAsUser: z.int().min(1) }),
        containers: z.tuple([
          z.looseObject({
            args: z.array(z.string()),
            ports: z.array(z.object({ name: z.string(), containerPort: z.int() })),
            securityContext: z.looseObject({
              allowPrivilegeEscalation: z.literal(false),
              readOnlyRootFilesystem: z.literal(true),
            }),
            startupProbe: probe,
            readinessProbe: probe,
            livenessProbe: probe,
            lifecycle: z.object({ preStop: z.object({ exec: z.object({ command: z.array(z.string()) }) }) }),
          }),
        ]),
      }),
    }),
  }),
});
const service = z.looseObject({
  kind: z.literal("Service"),
  spec: z.object({
    selector: z.record(z.string(), z.string()),
    ports: z.array(z.looseObject({ targetPort: z.string() })),
  }),
});

describe("the Kubernetes example", () => {
  it("has probes that the server answers, a service that finds it, and time for its drain", async () => {
    const documents = parseAllDocuments(await example("kubernetes.yaml"));
    if (!Array.isArray(documents)) throw new Error("there is no document");
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
    expect(documents).toHaveLength(2);
    const { spec } = deployment.parse(documents[0]?.toJS());
    const { metadata, spec: pod } = spec.template;
    const [container] = pod.containers;
    const { port: usual } = serveOptions.parse({});
    expect(container.ports).toEqual([{ name: "http", containerPort: usual }]);
    expect(metadata.annotations["prometheus.io/port"]).toBe(String(usual));
    const { startupProbe, readinessProbe, livenessProbe } = container;
    // A server that is busy or drains is not killed for it.
    expect(livenessProbe.httpGet).toEqual({ path: "/v2/health/live", port: "http" });
    for (const { httpGet } of [startupProbe, readinessProbe]) {
      expect(httpGet).toEqual({ path: "/v2/health/ready", port: "http" });
    }
    const { args, lifecycle } = container;
    const flags = args.filter((arg) => arg.startsWith("--")).map((flag) => flag.slice(2));
    for (const flag of flags) expect(Object.keys(serveOptions.shape)).toContain(flag);
    const drain = Number(args[args.indexOf("--drain") + 1]);
    const [, pause] = lifecycle.preStop.exec.command;
    // The last answers have a second after the drain.
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(drain + Number(pause) + 1);
    const labels = spec.selector.matchLabels;
    expect(metadata.labels).toEqual(labels);
    const { spec: front } = service.parse(documents[1]?.toJS());
    expect(front.selector).toEqual(labels);
    expect(front.ports[0]?.targetPort).toBe("http");
  });
});
