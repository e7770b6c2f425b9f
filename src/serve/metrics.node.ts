// Numbers about a server in the text format of Prometheus (version 0.0.4), which its client libraries write and its scraper reads:
// https://prometheus.io/docs/instrumenting/exposition_formats/

type Labels = Readonly<Record<string, string>>;

const HELP_ESCAPES = /[\\\n]/g;
const LABEL_ESCAPES = /[\\\n"]/g;

const escaped = (text: string, pattern: RegExp): string =>
  text.replace(pattern, (character) => (character === "\n" ? "\\n" : `\\${character}`));

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value, LABEL_ESCAPES)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? "+Inf" : "-Inf";
}

/** A family of numbers of one name. */
abstract class Metric {
  readonly name: string;
  private readonly help: string;
  private readonly type: "counter" | "gauge" | "histogram";

  constructor(type: Metric["type"], name: string, help: string) {
    this.type = type;
    this.name = name;
    this.help = help;
  }

  /** Its lines: what it is, then its numbers. */
  lines(): readonly string[] {
    return [
      `# HELP ${this.name} ${escaped(this.help, HELP_ESCAPES)}`,
      `# TYPE ${this.name} ${this.type}`,
      ...this.samples(),
    ];
  }

  protected abstract samples(): readonly string[];
}

/** What only grows. */
export class Counter extends Metric {
  private readonly values = new Map<string, number>();

  constructor(name: string, help: string) {
    super("counter", name, help);
  }

  add(labels: Labels = {}, amount = 1): void {
    const key = labelText(labels);
    this.values.set(key, (this.values.get(key) ?? 0) + amount);
  }

  protected samples(): readonly string[] {
    return [...this.values].map(([key, value]) => `${this.name}${key} ${numberText(value)}`);
  }
}

/** What is looked at when it is asked for. */
export class Gauge extends Metric {
  private readonly read: () => readonly (readonly [Labels, number])[];

  constructor(
    name: string,
    help: string,
    read: () => readonly (readonly [Labels, number])[],
    type: "gauge" | "counter" = "gauge",
  ) {
    super(type, name, help);
    this.read = read;
  }

  protected samples(): readonly string[] {
    return this.read().map(([labels, value]) => `${this.name}${labelText(labels)} ${numberText(value)}`);
  }
}

/** How often values fell below each of some bounds. */
export class Histogram extends Metric {
  private readonly bounds: readonly number[];
  private readonly series = new Map<
    string,
    { readonly labels: Labels; readonly counts: number[]; sum: number; count: number }
  >();

  /** @param bounds of the buckets, ascending; a value belongs to those that it does not exceed */
  constructor(name: string, help: string, bounds: readonly number[]) {
    super("histogram", name, help);
    this.bounds = bounds;
  }

  observe(labels: Labels, value: number): void {
    const key = labelText(labels);
    const series = this.series.get(key) ?? { labels, counts: this.bounds.map(() => 0), sum: 0, count: 0 };
    this.series.set(key, series);
    for (const [i, bound] of this.bounds.entries()) {
      if (value <= bound) series.counts[i] = (series.counts[i] ?? 0) + 1;
    }
    series.sum += value;
    series.count++;
  }

  protected samples(): readonly string[] {
    return [...this.series].flatMap(([key, { labels, counts, sum, count }]) => [
      ...this.bounds.map(
        (bound, i) =>
          `${this.name}_bucket${labelText({ ...labels, le: numberText(bound) })} ${counts[i] ?? 0}`,
      ),
      `${this.name}_bucket${labelText({ ...labels, le: "+Inf" })} ${count}`,
      `${this.name}_sum${key} ${numberText(sum)}`,
      `${this.name}_count${key} ${count}`,
    ]);
  }
}

/** Seconds from a millisecond to a minute. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

const SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/** What a server has at the moment. */
export interface Standing {
  readonly waiting: number;
  readonly running: number;
  readonly workers: Readonly<Record<string, number>>;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** The numbers of a server. */
export class ServerMetrics {
  readonly requests = new Counter("eidos_requests_total", "Requests by model, ability and HTTP status.");
  readonly seconds = new Histogram(
    "eidos_request_seconds",
    "Seconds from the arrival of a request to its answer.",
    SECONDS,
  );
  readonly waited = new Histogram(
    "eidos_queue_seconds",
    "Seconds that requests waited for a worker.",
    SECONDS,
  );
  readonly computed = new Histogram(
    "eidos_compute_seconds",
    "Seconds that workers took for a batch.",
    SECONDS,
  );
  readonly batch = new Histogram("eidos_batch_size", "Requests that were computed together.", SIZES);
  readonly shed = new Counter("eidos_shed_total", "Requests that were refused because too many waited.");
  readonly expired = new Counter("eidos_deadline_total", "Requests that were given up at their deadline.");
  readonly deaths = new Counter(
    "eidos_worker_deaths_total",
    "Workers that ended by themselves or were ended.",
  );
  readonly reloads = new Counter("eidos_reloads_total", "Reloads of new weights by model and outcome.");
  private readonly gauges: readonly Gauge[];

  constructor(standing: () => Standing) {
    this.gauges = [
      new Gauge("eidos_queue_length", "Requests that wait for a worker.", () => [[{}, standing().waiting]]),
      new Gauge("eidos_running", "Requests that are being computed.", () => [[{}, standing().running]]),
      new Gauge("eidos_workers", "Workers by state.", () =>
        Object.entries(standing().workers).map(([state, count]) => [{ state }, count]),
      ),
      new Gauge("process_resident_memory_bytes", "Resident memory of the main process in bytes.", () => [
        [{}, process.memoryUsage().rss],
      ]),
      new Gauge(
        "process_cpu_seconds_total",
        "Seconds of processor time of the main process.",
        () => [[{}, cpuSeconds()]],
        "counter",
      ),
      new Gauge("process_uptime_seconds", "Seconds since the start of the main process.", () => [
        [{}, process.uptime()],
      ]),
    ];
  }

  /** All of them as Prometheus reads them. */
  text(): string {
    const { requests, seconds, waited, computed, batch, shed, expired, deaths, reloads } = this;
    const all = [requests, seconds, waited, computed, batch, shed, expired, deaths, reloads, ...this.gauges];
    return `${all.flatMap((metric) => metric.lines()).join("\n")}\n`;
  }
}

/** The type of that text. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
