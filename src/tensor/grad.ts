import { GradientError } from "../errors.ts";
import { elementCount } from "./array.ts";
import { add, broadcastTo, isFloat, zerosLike } from "./core.ts";
import { outputAt, reachableNodes, substitute, type Tensor } from "./graph.ts";
import { constant, filled, input } from "./leaves.ts";
import { isConcrete, showShape, sizeOf } from "./shape.ts";

/** One tensor for each of a list; for a list of known length, a tuple, so that `const [dw, db] = …` is typed. */
type TensorFor<L extends readonly Tensor[]> = { -readonly [I in keyof L]: Tensor };

const key = (tensor: Tensor): string => `${tensor.node.id}:${tensor.index}`;

/**
 * Vector–Jacobian product by reverse accumulation: the gradient of Σᵢ ⟨cotangentᵢ, outputᵢ⟩ with respect to each
 * tensor of `wrt`. The results are symbolic tensors of the shapes of `wrt` (zeros where nothing depends on one), so
 * they can be differentiated again.
 * @throws GradientError where a path leads through an operation without derivative.
 */
export function vjp<W extends readonly Tensor[] | []>(
  outputs: readonly Tensor[],
  cotangents: readonly Tensor[],
  wrt: W,
): TensorFor<W> {
  for (const tensor of wrt) {
    if (!isFloat(tensor.dtype))
      throw new GradientError(`grad: a ${tensor.dtype} tensor has no gradient (${tensor})`);
  }
  const targets = new Set(wrt.map(key));
  const nodes = reachableNodes(outputs);
  // Only nodes that depend on a target take part.
  const active = new Set<number>();
  for (const node of nodes) {
    if (
      node.outputs.some((output) => targets.has(key(output))) ||
      node.inputs.some((i) => active.has(i.node.id))
    ) {
      active.add(node.id);
    }
  }

  const gradients = new Map<string, Tensor>();
  const accumulate = (tensor: Tensor, gradient: Tensor): void => {
    const held = gradients.get(key(tensor));
    gradients.set(key(tensor), held === undefined ? gradient : add(held, gradient));
  };
  outputs.forEach((output, i) => {
    accumulate(output, outputAt(cotangents, i));
  });

  for (const node of [...nodes].reverse()) {
    if (!active.has(node.id) || node.inputs.length === 0) continue;
    const received = node.outputs.map((output) => gradients.get(key(output)));
    if (received.every((gradient) => gradient === undefined)) continue;
    const needed = node.inputs.map((i) => active.has(i.node.id) && isFloat(i.dtype));
    if (!needed.includes(true)) continue;
    const { operation } = node;
    if (operation.gradient === undefined) {
      throw new GradientError(
        `grad: ${operation.name} has no derivative; use stopGradient where none should flow`,
      );
    }
    const full = operation.broadcastGradient
      ? received
      : received.map((gradient, i) => gradient && broadcastTo(gradient, outputAt(node.outputs, i).shape));
    const results = operation.gradient({
      inputs: node.inputs,
      outputs: node.outputs,
      attributes: node.attributes,
      gradients: full,
      needed,
    });
    results.forEach((gradient, i) => {
      if (gradient !== undefined && needed[i]) accumulate(outputAt(node.inputs, i), gradient);
    });
  }
  return wrt.map((tensor) => {
    const gradient = gradients.get(key(tensor));
    return gradient === undefined ? zerosLike(tensor) : broadcastTo(gradient, tensor.shape);
  }) as TensorFor<W>;
}

/**
 * Gradients of a scalar with respect to tensors: reverse mode, symbolic, of the same shapes as `wrt`.
 * @throws GradientError where the output is not a scalar or a path has no derivative.
 */
export function grad<W extends readonly Tensor[] | []>(output: Tensor, wrt: W): TensorFor<W> {
  if (sizeOf(output.shape) !== 1 || !isFloat(output.dtype)) {
    throw new GradientError(
      `grad: the output must be one float, not ${output.dtype}${showShape(output.shape)}; sum or average it first`,
    );
  }
  return vjp([output], [broadcastTo(constant(1, output.dtype), output.shape)], wrt);
}

/**
 * Jacobian–vector product: the derivative of `outputs` along `tangents` of `wrt`. Made from two reverse passes
 * (the vector–Jacobian product is linear in its cotangent; its derivative in that is the Jacobian–vector product), so
 * that every operation needs one gradient rule only.
 */
export function jvp<O extends readonly Tensor[] | []>(
  outputs: O,
  wrt: readonly Tensor[],
  tangents: readonly Tensor[],
): TensorFor<O> {
  const dummies = outputs.map((output, i) => input(`cotangent.${i}`, output.shape, output.dtype));
  const products = vjp(outputs, dummies, wrt);
  const results = vjp(products, tangents, dummies);
  // The result is linear in the tangents and does not depend on the dummies; any value may stand for them.
  return substitute(results, new Map(dummies.map((dummy) => [dummy, zerosLike(dummy)]))) as TensorFor<O>;
}

/**
 * The Jacobian of a tensor with respect to another, for tests and small dimensions: one tensor of the shape of `wrt`
 * for every output element, in row-major order, each by a reverse pass. The output's shape must be concrete.
 */
export function jacobian(output: Tensor, wrt: Tensor): Tensor[] {
  const { shape } = output;
  if (!isConcrete(shape)) throw new GradientError("jacobian: the output's shape must be known while tracing");
  return Array.from({ length: elementCount(shape) }, (_, i) => {
    const basis = filled(output.dtype, shape, 0);
    basis.data[i] = basis.dtype === "int64" ? 1n : 1;
    return outputAt(vjp([output], [constant(basis)], [wrt]), 0);
  });
}
