import type { Command } from "commander";
import { z } from "zod";
import { counted } from "../../memory.ts";
import { parseOptions } from "../../options.ts";
import { importDetector, importOptions } from "../../tasks/import/import.node.ts";
import { showing } from "../flags.ts";
import { printJson, printLine } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";

const importFlags = z.strictObject({
  ...importOptions.shape,
  out: z
    .string()
    .min(1)
    .optional()
    .describe("run folder to make (default: runs/NAME, of the file's name); nothing is overwritten"),
  ...showing,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Import", importFlags);
  command.addHelpText(
    "after",
    "\nReads torchvision's fasterrcnn_resnet50_fpn (--as faster-rcnn), retinanet_resnet50_fpn and its _v2 (--as retina-net), and fcos_resnet50_fpn\n(--as fcos), as .pth, .pt or .safetensors; and MTCNN (--as mtcnn) of facenet-pytorch: pnet.pt, rnet.pt and onet.pt, or their folder.\nFace detectors as .onnx: YuNet of libfacedetection and OpenCV (--as yunet), the RFB form of Ultra-Light-Fast-Generic-Face-Detector-1MB without\ndecoding inside (--as ultra-light-rfb).\nNetworks for ImageNet, for their features (--as resnet18, resnet34, resnet50, mobilenet-v2, efficientnet-lite0), without their classifier.\n\nExamples:\n  eidos import fasterrcnn_resnet50_fpn_coco-258fb6c6.pth --as faster-rcnn --out runs/coco\n  eidos detect runs/coco street.jpg\n  eidos import weights/mtcnn --as mtcnn --out runs/faces\n  eidos import yunet_n_320.onnx --as yunet --out runs/yunet\n  eidos fit faster-rcnn ./my-boxes --from runs/coco\n  eidos import efficientnet-lite0.pth --as efficientnet-lite0 --out runs/lite0\n  eidos embed runs/lite0 photos --out features.parquet",
  );
  command.action(async (file: readonly string[], flags: Record<string, unknown>) => {
    const {
      json,
      quiet: _,
      out,
      ...options
    } = parseOptions("import", importFlags, flagValues(flags, [importFlags]));
    const made = await importDetector({ file, out, ...options });
    if (json) return printJson(made);
    printLine(
      `${made.folder}: ${made.model}, ${made.classes.length === 0 ? "for features" : counted(made.classes.length, "class", "classes")}, ${counted(made.tensors, "tensor")}, ${made.parameters.toLocaleString("en")} numbers, all of them fit`,
    );
    for (const note of made.notes) printLine(note);
  });
}
