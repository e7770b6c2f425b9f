"""The peer of bench/serving.ts: what one writes with FastAPI and ONNX Runtime around the ONNX files that `eidos export` writes.

    SERVING_DETECTOR=detections.onnx SERVING_SCORES=model.onnx SERVING_CLASSES=a,b uvicorn serving_peer:app --workers 2

Each worker has a session of one thread for each file. A request is decoded and computed in a thread of Starlette's pool, so that the event loop
goes on meanwhile.
"""

import io
import os

import numpy as np
import onnxruntime
from fastapi import Body, FastAPI, HTTPException
from PIL import Image, ImageOps
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1


def session(variable):
    return onnxruntime.InferenceSession(os.environ[variable], options, providers=["CPUExecutionProvider"])


detector = session("SERVING_DETECTOR")
scorer = session("SERVING_SCORES")
classes = os.environ["SERVING_CLASSES"].split(",")
(image_input,) = detector.get_inputs()
side = image_input.shape[-1]
if image_input.type != "tensor(float)" or image_input.shape[1] != 3 or image_input.shape[-2] != side:
    raise SystemExit(f"the detector takes {image_input.type} {image_input.shape}, and this peer float32 [batch, 3, side, side]")
app = FastAPI()


@app.get("/health")
async def health():
    return {"live": True}


@app.post("/detect")
def detect(body: bytes = Body(media_type="image/jpeg")):
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGB")
    except Exception as error:
        raise HTTPException(400, f"not a readable image ({error})")
    width, height = image.size
    scale = side / max(width, height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (side - inner[0]) // 2, (side - inner[1]) // 2
    canvas = np.full((side, side, 3), 114, np.float32)
    canvas[top : top + inner[1], left : left + inner[0]] = image.resize(inner, Image.Resampling.BILINEAR)
    x = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
    boxes, scores, labels = detector.run(["boxes", "scores", "classes"], {image_input.name: x})
    found = labels[0] >= 0
    boxes = (boxes[0][found] - np.array([left, top, left, top])) / scale
    boxes = boxes.clip(0, np.array([width, height, width, height]))
    return {
        "width": width,
        "height": height,
        "objects": [
            {"label": classes[label], "class": int(label), "score": float(score), "box": [float(v) for v in box]}
            for box, score, label in zip(boxes, scores[0][found], labels[0][found])
        ],
    }


class Point(BaseModel):
    x: float
    y: float


@app.post("/score")
def score(rows: list[Point]):
    x = np.array([[row.x, row.y] for row in rows], np.float32)
    (log_likelihood,) = scorer.run(["logProb"], {"x": x})
    return {"logLikelihood": [float(value) for value in log_likelihood]}
