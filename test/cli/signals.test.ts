import { afterEach, describe, expect, it, vi } from "vitest";
import { interruptible, openUntilSignal } from "../../src/cli/signals.ts";

/** What a process hears of a signal, without one that would end the tests where nothing listens. */
function send(name: NodeJS.Signals): void {
  expect(process.listenerCount(name), `listeners for ${name}`).toBeGreaterThan(listenersBefore(name));
  process.emit(name, name);
}

const before = new Map<string, number>();
function listenersBefore(name: string): number {
  return before.get(name) ?? 0;
}

const names = ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR2"] as const;
for (const name of names) before.set(name, process.listenerCount(name));

/** Makes process.exit an error that names its code. */
function exits(): void {
  vi.spyOn(process, "exit").mockImplementation((code) => {
    throw new Error(`exit ${code}`);
  });
}

afterEach(() => {
  vi.restoreAllMocks();
  for (const name of names) expect(process.listenerCount(name)).toBe(listenersBefore(name));
});

describe("a server that is open until a signal", () => {
  it.each(["SIGHUP", "SIGINT", "SIGTERM"] as const)(
    "is closed where %s comes in the very call that tells its address",
    async (name) => {
      const close = vi.fn(async () => undefined);
      await openUntilSignal(
        async () => ({ close }),
        () => send(name),
      );
      expect(close).toHaveBeenCalledOnce();
    },
  );

  it("says once that it stops, and a second signal ends the process with that signal's code", async () => {
    exits();
    const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    const close = vi.fn(async () => {
      expect(() => send("SIGTERM")).toThrow("exit 143");
      expect(() => send("SIGINT")).toThrow("exit 130");
    });
    await openUntilSignal(
      async () => ({ close }),
      () => send("SIGINT"),
      "stopping: wait",
    );
    expect(close).toHaveBeenCalledOnce();
    expect(said.mock.calls.map(([text]) => text)).toEqual(["stopping: wait\n"]);
  });

  it("is ended at once by a signal while it opens", async () => {
    exits();
    const open = async () => {
      send("SIGTERM");
      return { close: async () => undefined };
    };
    await expect(openUntilSignal(open, () => expect.fail("it was said to be open"))).rejects.toThrow(
      "exit 143",
    );
  });

  it("hears nothing more once it could not open, or not close", async () => {
    const failing = () => Promise.reject(new Error("the port is taken"));
    await expect(openUntilSignal(failing, () => undefined)).rejects.toThrow("the port is taken");
    const stuck = async () => ({ close: () => Promise.reject(new Error("cannot close")) });
    await expect(openUntilSignal(stuck, () => send("SIGTERM"))).rejects.toThrow("cannot close");
  });
});

describe("work that is interrupted", () => {
  const display = { say: vi.fn(), end: vi.fn(), stopping: "saving" };

  it.each([
    ["SIGHUP", 129],
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("by %s ends in good order with code %i, a second one at once", async (name, code) => {
    exits();
    vi.clearAllMocks();
    const exitCode = process.exitCode;
    try {
      const result = await interruptible(display, async (signal) => {
        send(name);
        expect(signal.aborted).toBe(true);
        expect(() => send(name)).toThrow(`exit ${code}`);
        return "saved";
      });
      expect(result).toBe("saved");
      expect(process.exitCode).toBe(code);
      expect(display.say.mock.calls).toEqual([["saving; press Ctrl-C again to quit at once"]]);
      expect(display.end).toHaveBeenCalledOnce();
    } finally {
      process.exitCode = exitCode;
    }
  });
});
