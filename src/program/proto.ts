import onnxProto from "onnx-proto";
import type { NdArray } from "../tensor/array.ts";
import { ONNX_DTYPE } from "../tensor/core.ts";
import type { OnnxAttribute, Tensor } from "../tensor/graph.ts";

// The parts of an ONNX model as protocol buffers.

const { onnx } = onnxProto;

/** An attribute of a node. */
export function attributeProto(name: string, value: OnnxAttribute): InstanceType<typeof onnx.AttributeProto> {
  const { AttributeType } = onnx.AttributeProto;
  if ("int" in value) return onnx.AttributeProto.create({ name, type: AttributeType.INT, i: value.int });
  if ("ints" in value)
    return onnx.AttributeProto.create({ name, type: AttributeType.INTS, ints: [...value.ints] });
  if ("float" in value)
    return onnx.AttributeProto.create({ name, type: AttributeType.FLOAT, f: value.float });
  if ("floats" in value) {
    return onnx.AttributeProto.create({ name, type: AttributeType.FLOATS, floats: [...value.floats] });
  }
  if ("graph" in value)
    return onnx.AttributeProto.create({ name, type: AttributeType.GRAPH, g: value.graph });
  return onnx.AttributeProto.create({
    name,
    type: AttributeType.STRING,
    s: new TextEncoder().encode(value.string),
  });
}

/** An initializer: a value that is part of the model. */
export function tensorProto(name: string, value: NdArray): InstanceType<typeof onnx.TensorProto> {
  return onnx.TensorProto.create({
    name,
    dims: [...value.shape],
    dataType: ONNX_DTYPE[value.dtype],
    rawData: new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength),
  });
}

/** The name and type of an input or output of a graph; of an output whose shape says nothing, without it. */
export function valueInfo(
  name: string,
  tensor: Tensor,
  withShape = true,
): InstanceType<typeof onnx.ValueInfoProto> {
  const dim = tensor.shape.map((size) =>
    typeof size === "number" ? { dimValue: size } : { dimParam: size },
  );
  return onnx.ValueInfoProto.create({
    name,
    type: {
      tensorType: { elemType: ONNX_DTYPE[tensor.dtype], ...(withShape && { shape: { dim } }) },
    },
  });
}
