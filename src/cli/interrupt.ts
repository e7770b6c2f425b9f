const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Runs with Ctrl-C turned into an orderly stop; a second one ends the process. The exit code is that of the signal.
 * @param display takes a line that says so
 */
export async function interruptible<T>(
  display: { say(line: string): void; end(): void },
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    const code = 128 + (name === "SIGTERM" ? SIGNALS.SIGTERM : SIGNALS.SIGINT);
    if (controller.signal.aborted) process.exit(code);
    display.say("stopping after this step and saving; press Ctrl-C again to quit at once");
    process.exitCode = code;
    controller.abort();
  };
  for (const name of Object.keys(SIGNALS)) process.on(name, onSignal);
  try {
    return await run(controller.signal);
  } finally {
    for (const name of Object.keys(SIGNALS)) process.off(name, onSignal);
    display.end();
  }
}
