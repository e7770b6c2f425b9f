import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Bytes of memory of a process. */
export interface Memory {
  readonly now: number;
  readonly peak: number;
}

interface Answer {
  readonly memory: Memory;
  readonly error?: string;
  readonly version?: string;
  readonly works?: readonly string[];
  readonly seconds?: number;
  readonly parameters?: number;
  readonly milliseconds?: readonly number[];
  readonly processor?: readonly number[];
}

/** Milliseconds of each repetition, those that all threads of the process have computed in it, and the memory afterwards. */
export interface Repetitions {
  readonly milliseconds: readonly number[];
  readonly processor: readonly number[];
  readonly memory: Memory;
}

/** How a contender is started. */
export interface ContenderCommand {
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
  /** Added to the variables of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A process that does works on request: see `serve.ts`. */
export class Contender {
  readonly name: string;
  readonly version: string;
  readonly works: ReadonlySet<string>;
  private readonly child: ChildProcess;
  private readonly receive: () => Promise<Answer>;

  private constructor(name: string, child: ChildProcess, receive: () => Promise<Answer>, first: Answer) {
    this.name = name;
    this.child = child;
    this.receive = receive;
    this.version = first.version ?? "";
    this.works = new Set(first.works);
  }

  /** Starts the process. @throws Error with the last line that it wrote where it ends at once */
  static async start({ name, command, arguments: given, environment }: ContenderCommand): Promise<Contender> {
    const child = spawn(command, given, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    let complaint = "";
    child.stderr.on("data", (text) => {
      complaint = `${complaint}${text}`.slice(-2000);
    });
    const answers: Answer[] = [];
    const waiting: { resolve(answer: Answer): void; reject(error: Error): void }[] = [];
    createInterface({ input: child.stdout }).on("line", (line) => {
      // Libraries greet on standard output.
      if (!line.startsWith("{")) return;
      const answer: Answer = JSON.parse(line);
      const first = waiting.shift();
      if (first === undefined) answers.push(answer);
      else first.resolve(answer);
    });
    let ended: Error | undefined;
    const end = (reason: string): void => {
      ended ??= new Error(reason);
      for (const { reject } of waiting.splice(0)) reject(ended);
    };
    child.on("error", ({ message }) => end(message));
    child.on("close", (code, signal) => {
      const lines = complaint.split("\n").filter((line) => line.trim() !== "");
      const how = signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
      end(lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? how);
    });
    const receive = (): Promise<Answer> =>
      new Promise((resolve, reject) => {
        const answer = answers.shift();
        if (answer !== undefined) resolve(answer);
        else if (ended !== undefined) reject(ended);
        else waiting.push({ resolve, reject });
      });
    return new Contender(name, child, receive, await receive());
  }

  private async ask(request: object): Promise<Answer> {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`);
    const answer = await this.receive();
    if (answer.error !== undefined) throw new Error(`${this.name}: ${answer.error}`);
    return answer;
  }

  /** Builds a work: the seconds it took, and the parameters of its network. */
  async prepare(work: string): Promise<{ readonly seconds: number; readonly parameters: number }> {
    const { seconds = Number.NaN, parameters = 0 } = await this.ask({ prepare: work });
    return { seconds, parameters };
  }

  /** Does a work so many times. */
  async run(work: string, repetitions: number): Promise<Repetitions> {
    const { milliseconds = [], processor = [], memory } = await this.ask({ run: work, repetitions });
    return { milliseconds, processor, memory };
  }

  async release(work: string): Promise<void> {
    await this.ask({ release: work });
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const closed = new Promise((resolve) => this.child.once("close", resolve));
    this.child.stdin?.end();
    await closed;
  }
}
