// Draws what a detector finds over a video: of a webcam, the screen or a file. The model computes in a worker at its own rate, and the video
// plays at its own; no picture leaves the page. serve.ts bundles and serves this file.

import { type FoundIn, load } from "eidos/use";

const element = <E extends Element>(id: string): E => document.querySelector(`#${id}`) as E;
const video = element<HTMLVideoElement>("video");
const canvas = element<HTMLCanvasElement>("boxes");
const status = element<HTMLElement>("status");
const confidence = element<HTMLInputElement>("confidence");
const context = canvas.getContext("2d") as CanvasRenderingContext2D;

const { searchParams } = new URL(location.href);
confidence.value = searchParams.get("confidence") ?? confidence.value;

const model = await load("/model/", { needs: "detect", wasmPaths: "/onnxruntime-web/" });
status.textContent = `${model.model} of ${model.data}: ready`;

/** A color for each class, far from those of its neighbors. */
const colorOf = (label: number): string => `hsl(${(label * 137.5) % 360} 90% 50%)`;

function draw({ width, height, objects }: FoundIn): void {
  canvas.width = width;
  canvas.height = height;
  context.lineWidth = Math.max(1.5, width / 300);
  context.font = `${Math.max(10, width / 40)}px system-ui, sans-serif`;
  for (const { box, label, score, class: number } of objects) {
    const [x1, y1, x2, y2] = box;
    context.strokeStyle = colorOf(number);
    context.fillStyle = colorOf(number);
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.fillText(`${label} ${score.toFixed(2)}`, x1, Math.max(y1 - 3, 10));
  }
}

/** Waits for the next picture of the video. */
const nextPicture = (): Promise<unknown> =>
  new Promise((resolve) => {
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });

let watching = new AbortController();

/** Looks at the video until it ends, or another takes its place. Pictures that come while the model computes are passed over. */
async function watch(): Promise<void> {
  watching.abort();
  watching = new AbortController();
  const { signal } = watching;
  video.addEventListener("ended", () => watching.abort(), { signal });
  await video.play();
  for (let count = 1; ; count++) {
    await nextPicture();
    if (signal.aborted) return;
    const begun = performance.now();
    const found = await model.detect(video, { confidence: Number(confidence.value), maximum: 50, signal });
    draw(found);
    const rate = 1000 / (performance.now() - begun);
    status.textContent = `picture ${count}: ${found.objects.length} objects, ${rate.toFixed(1)} pictures a second, ${model.provider} in a worker`;
  }
}

/** Begins with another source; what is wrong with it is said. */
async function begin(open: () => Promise<void>): Promise<void> {
  try {
    await open();
    await watch();
  } catch (error) {
    if (!watching.signal.aborted) status.textContent = error instanceof Error ? error.message : String(error);
  }
}

async function showStream(stream: MediaStream): Promise<void> {
  video.removeAttribute("src");
  video.srcObject = stream;
}

const webcam = element<HTMLButtonElement>("webcam");
webcam.onclick = () =>
  begin(async () =>
    showStream(
      await navigator.mediaDevices.getUserMedia({ video: { width: 640, facingMode: "environment" } }),
    ),
  );
const screen = element<HTMLButtonElement>("screen");
screen.onclick = () =>
  begin(async () => showStream(await navigator.mediaDevices.getDisplayMedia({ video: true })));
const file = element<HTMLInputElement>("file");
file.onchange = () =>
  begin(async () => {
    const [chosen] = file.files ?? [];
    if (chosen === undefined) return;
    video.srcObject = null;
    video.src = URL.createObjectURL(chosen);
  });
for (const input of [webcam, screen, file]) input.disabled = false;
