import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { ServerError } from "../ui/server.ts";

/** Pixels of the longer side of a picture that is looked at. */
const SIDE = 640;

/** Quality of the JPEG files that are sent. */
const QUALITY = 0.85;

export interface Webcam {
  readonly isOn: Signal<boolean>;
  /** Pictures a second. */
  readonly rate: Signal<number>;
  /** What is wrong with it; empty where nothing is. */
  readonly said: Signal<string>;
  start(): Promise<void>;
  stop(): void;
}

/**
 * The pictures of a webcam, one after the other: the next one is taken when the last has been looked at, so that those which come meanwhile are passed over.
 * @param look is given a picture, which is then its own, and the same as a file
 */
export function useWebcam(look: (image: ImageBitmap, picture: Blob) => Promise<void>): Webcam {
  const isOn = useSignal(false);
  const rate = useSignal(0);
  const said = useSignal("");
  const stream = useRef<MediaStream | undefined>(undefined);
  const stop = (): void => {
    for (const track of stream.current?.getTracks() ?? []) track.stop();
    stream.current = undefined;
    isOn.value = false;
  };
  useEffect(() => stop, []);
  const follow = async (source: MediaStream): Promise<void> => {
    const video = document.createElement("video");
    video.muted = true;
    video.playsInline = true;
    video.srcObject = source;
    await video.play();
    const canvas = document.createElement("canvas");
    while (stream.current === source) {
      const begun = performance.now();
      const scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight, 1));
      canvas.width = Math.max(1, Math.round(scale * video.videoWidth));
      canvas.height = Math.max(1, Math.round(scale * video.videoHeight));
      canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
      const picture = await new Promise<Blob | null>((resolve) =>
        canvas.toBlob(resolve, "image/jpeg", QUALITY),
      );
      if (picture === null) throw new Error("the browser makes no JPEG of a canvas");
      await look(await createImageBitmap(canvas), picture);
      rate.value = 1000 / Math.max(1, performance.now() - begun);
    }
  };
  return {
    isOn,
    rate,
    said,
    stop,
    async start() {
      said.value = "";
      let source: MediaStream;
      try {
        source = await navigator.mediaDevices.getUserMedia({ video: { width: SIDE } });
      } catch {
        // Refused, none there, or taken by another program: the browser says no more to a page.
        said.value = t("use.webcam.none");
        return;
      }
      stream.current = source;
      isOn.value = true;
      try {
        await follow(source);
      } catch (error) {
        if (!(error instanceof ServerError)) throw error;
        said.value = error.message || t("runs.unreachable");
      } finally {
        if (stream.current === source) stop();
      }
    },
  };
}
