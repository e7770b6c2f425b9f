import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

// What tests of the studio's rooms share: a browser, pages that are watched, and what axe finds.

const axe = readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");

/** Milliseconds after which a page that does not come is given up. */
export const LONG = 120_000;

export function launch(executablePath: string | undefined, more: readonly string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: executablePath ?? "",
    args: ["--headless", "--no-sandbox", "--disable-gpu", ...more],
  });
}

export interface PageOptions extends BrowserContextOptions {
  /** Takes errors of the page, and what it asks of another server. */
  readonly complaints?: string[];
}

/** A page of the studio. */
export async function openStudio(
  browser: Browser,
  address: string,
  hash: string,
  { complaints = [], ...options }: PageOptions,
): Promise<Page> {
  const page = await browser.newPage({ locale: "en", viewport: { width: 1300, height: 900 }, ...options });
  page.on("pageerror", ({ message }) => complaints.push(message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== "blob:" && protocol !== "data:" && host !== new URL(address).host)
      complaints.push(`the page asks for ${request.url()}`);
  });
  await page.goto(`${address}${hash}`);
  await page.locator("main").waitFor();
  return page;
}

/** What axe finds wrong with a page: rules of WCAG 2.2 A and AA, and its own. */
export async function violations(page: Page): Promise<readonly string[]> {
  // The debugger is not bound by the policy of the page, which stays in force.
  await page.evaluate(`if (!globalThis.axe) { ${axe} }`);
  return page.evaluate(async () => {
    // Colors on their way from one theme to the other are neither's.
    for (const animation of document.getAnimations()) {
      if (animation.effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY) animation.finish();
    }
    const { axe } = globalThis as unknown as {
      axe: {
        run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
      };
    };
    const { violations: found } = await axe.run();
    return found.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
    );
  });
}
