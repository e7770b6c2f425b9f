import { constants } from "node:os";
import { printNote } from "./format.ts";

/** Signals that end a server in good order: Ctrl-C, that of a scheduler, and that of a terminal which is closed. */
const ENDING = ["SIGHUP", "SIGINT", "SIGTERM"] as const;

/** Those that end work in good order: SIGUSR2 too, which schedulers send before time runs out and mpirun passes on to its ranks. */
const LEAVING = [...ENDING, "SIGUSR2"] as const;

/** The exit code of a process that a signal ended. */
function codeOf(name: NodeJS.Signals): number {
  return 128 + constants.signals[name];
}

/** Has a function hear signals; the function that is returned ends that. */
function hear(names: readonly NodeJS.Signals[], onSignal: (name: NodeJS.Signals) => void): () => void {
  for (const name of names) process.on(name, onSignal);
  return () => {
    for (const name of names) process.off(name, onSignal);
  };
}

/**
 * Runs with Ctrl-C turned into an orderly stop; a second one ends the process. The exit code is that of the signal.
 * @param display takes a line about it
 */
export async function interruptible<T>(
  display: { say(line: string): void; end(): void; readonly stopping: string },
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const unheard = hear(LEAVING, (name) => {
    const code = codeOf(name);
    if (controller.signal.aborted) process.exit(code);
    display.say(`${display.stopping}; press Ctrl-C again to quit at once`);
    process.exitCode = code;
    controller.abort();
  });
  try {
    return await run(controller.signal);
  } finally {
    unheard();
    display.end();
  }
}

/**
 * Keeps a server open until a signal comes, then closes it. A signal that comes while it opens ends the process at once, and so does a
 * second one. Signals are heard before `opened` tells an address: who reads that may send one in the same instant.
 * @param opened says where the server is
 * @param stopping a line that is printed once it closes
 */
export async function openUntilSignal<Server extends { close(): Promise<void> }>(
  open: () => Promise<Server>,
  opened: (server: Server) => void,
  stopping?: string,
): Promise<void> {
  const stop = new AbortController();
  const stopped = new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
  let isOpen = false;
  const unheard = hear(ENDING, (name) => {
    if (!isOpen || stop.signal.aborted) process.exit(codeOf(name));
    stop.abort();
    if (stopping !== undefined) printNote(stopping);
  });
  try {
    const server = await open();
    isOpen = true;
    opened(server);
    await stopped;
    await server.close();
  } finally {
    unheard();
  }
}
