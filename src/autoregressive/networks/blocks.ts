import {
  arange,
  concat,
  constant,
  gather,
  pad,
  split,
  type Tensor,
  where,
  whileLoop,
} from "../../tensor/index.ts";
import type { LoopState } from "../../tensor/operations/loop.ts";
import type { Draw, DrawInputs } from "../conditionals.ts";
import { bernoulliLogProb, positionsOf } from "../conditionals.ts";

/** Beyond every logit. */
const NEVER = 1e30;

/** Positions of a block: about as many as there are blocks, since each block costs, and so does each position written out. */
export function blockSize(dimensions: number): number {
  return Math.min(32, Math.ceil(Math.sqrt(dimensions)));
}

/** One block of consecutive positions, while it is drawn. Samples lie along the last axis. */
export interface Block {
  /** Its number, an int64 scalar; the first position is this times `size`. */
  readonly index: Tensor;
  /** Draws the element at the next position from the logit of a one, [1, n] → [1, n]. To be called `size` times. */
  readonly choose: (logit: Tensor) => Tensor;
}

/**
 * Draws zeros and ones position by position: in a loop over blocks of positions, within which the positions are written out one
 * after the other. So the program is small, and what is known of earlier blocks is brought to the next all at once.
 * Positions beyond the last, which fill the last block, hold zeros.
 * @param order the element at each position, int64 [D]
 * @param initial state before the first block
 * @param round draws a block and returns the next state
 */
export function drawInBlocks<const S extends readonly Tensor[]>(
  order: Tensor,
  inputs: DrawInputs,
  size: number,
  initial: S,
  round: (state: LoopState<S>, block: Block) => LoopState<S>,
): Draw {
  const dimensions = Number(order.shape[0]);
  const rows = inputs.given.shape[0] ?? 1;
  const count = Math.ceil(dimensions / size);
  const blocks = (x: Tensor, beyond: number): Tensor =>
    pad(
      gather(x.transpose(), order, 0),
      [
        [0, count * size - dimensions],
        [0, 0],
      ],
      { value: beyond },
    ).reshape([count, size, rows]);
  const { uniforms, given, known } = inputs;
  // x = 1 where u < σ(logit), that is where the logit is above log u − log(1 − u); the given element where it is known.
  const drawn = uniforms.log().sub(uniforms.neg().log1p());
  const thresholds = blocks(where(known.greater(0.5), given.mul(-2).add(1).mul(NEVER), drawn), NEVER);
  const held = blocks(known, 0);

  const none = constant(0).broadcastTo([count, size, rows]);
  const [x, logKnown] = whileLoop(
    [none, constant(0).broadcastTo([rows]), ...initial],
    ([before, weight, ...state], index) => {
      const each = split(gather(thresholds, index, 0), 0, new Array<number>(size).fill(1));
      const logits: Tensor[] = [];
      const elements: Tensor[] = [];
      const choose = (logit: Tensor): Tensor => {
        const element = logit.greater(each[logits.length] ?? NEVER).cast("float32");
        logits.push(logit);
        elements.push(element);
        return element;
      };
      const next = round(state, { index, choose });
      const found = concat(elements, 0);
      const here = arange(0, count).equal(index).reshape([count, 1, 1]);
      const logs = bernoulliLogProb(concat(logits, 0), found).mul(gather(held, index, 0));
      return { state: [where(here, found.unsqueeze(0), before), weight.add(logs.sum(0)), ...next] };
    },
    { maximum: count },
  );
  return { x: gather(x.reshape([count * size, rows]), positionsOf(order), 0).transpose(), logKnown };
}
