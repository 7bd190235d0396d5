// Steps of the random differential test of pools: what a step can be, and random sequences of them. A step names volumes and
// places by numbers that are taken modulo what there is, so that a sequence from which steps are left out still runs.
import type { Random } from './random.js';
import { BLOCK } from './thin-pool.js';

export type IoKind = 'read' | 'write' | 'zero' | 'unmap' | 'discard';

export interface Io {
  readonly kind: IoKind;
  readonly volume: number;
  readonly offset: number;
  readonly length: number;
  readonly seed: number;
}

/** What happens at the same time. */
export type Beside = 'commit' | 'flush' | 'snapshot' | 'remove' | null;

export type Step =
  | {
      readonly do: 'io';
      readonly ios: readonly Io[];
      readonly beside: Beside;
    }
  | { readonly do: 'create'; readonly size: number; readonly external: boolean }
  | { readonly do: 'snapshot'; readonly origins: readonly number[]; readonly readOnly: boolean }
  | { readonly do: 'rollback'; readonly volume: number; readonly to: number }
  | { readonly do: 'resize'; readonly volume: number; readonly size: number }
  | { readonly do: 'discards'; readonly mode: 'passdown' | 'nopassdown' | 'ignore' }
  | { readonly do: 'remove' | 'readOnly' | 'rename' | 'close' | 'usage'; readonly volume: number }
  | { readonly do: 'reopen' | 'copy' | 'verify' | 'hold' | 'unhold' | 'commit' | 'grow' };

export interface Sequence {
  readonly seed: number;
  readonly blockSize: number;
  /** How far apart blocks lie in the maps (thin-pool-spread.ts). */
  readonly factor: number;
  readonly steps: readonly Step[];
}

const KINDS = [
  [30, 'write'],
  [15, 'read'],
  [6, 'discard'],
  [4, 'unmap'],
  [3, 'zero'],
] as const;

const BLOCK_SIZES = [
  [4, BLOCK],
  [1, 2 * BLOCK],
  [1, 3 * BLOCK],
  [1, 16 * BLOCK],
] as const;

const STEPS: readonly (readonly [number, (random: Random, blockSize: number) => Step])[] = [
  [60, randomIo],
  [
    4,
    (random, blockSize) => ({ do: 'create', size: randomSize(random, blockSize), external: random.oneIn(4) }),
  ],
  [12, randomSnapshot],
  [5, random => ({ do: 'remove', volume: random.below(100) })],
  [4, random => ({ do: 'rollback', volume: random.below(100), to: random.below(100) })],
  [
    4,
    (random, blockSize) => ({ do: 'resize', volume: random.below(100), size: randomSize(random, blockSize) }),
  ],
  [2, random => ({ do: 'readOnly', volume: random.below(100) })],
  [1, random => ({ do: 'rename', volume: random.below(100) })],
  [3, random => ({ do: 'close', volume: random.below(100) })],
  [6, random => ({ do: 'usage', volume: random.below(100) })],
  [1, random => ({ do: 'discards', mode: random.pick(['passdown', 'passdown', 'nopassdown', 'ignore']) })],
  [
    12,
    random => ({
      do: random.pick(['reopen', 'copy', 'verify', 'verify', 'hold', 'unhold', 'commit', 'grow']),
    }),
  ],
];

/** Sizes are whole blocks: what is beyond the end of a volume within its last block is not anybody's to ask about. */
function randomSize(random: Random, blockSize: number): number {
  return (1 + random.below(blockSize > 4 * BLOCK ? 4 : 40)) * blockSize;
}

function randomIo(random: Random, blockSize: number): Step {
  const count = random.pick([1, 1, 2, 4, 8, 16]);
  const volume = random.below(100);
  const ios = Array.from({ length: count }, (): Io => {
    const kind = random.weighted(KINDS);
    const aligned = random.oneIn(3);
    const offset = random.below(40 * blockSize);
    const length = random.below(random.pick([512, 4096, blockSize, 4 * blockSize])) + 1;
    return {
      kind,
      volume: random.oneIn(3) ? random.below(100) : volume,
      offset: aligned ? Math.floor(offset / blockSize) * blockSize : offset,
      length: aligned ? Math.ceil(length / blockSize) * blockSize : length,
      seed: random.below(1_000_000),
    };
  });
  const beside = random.weighted([
    [8, null],
    [2, 'commit'],
    [2, 'flush'],
    [2, 'snapshot'],
    [1, 'remove'],
  ] as const);
  return { do: 'io', ios, beside };
}

function randomSnapshot(random: Random): Step {
  const origins = Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, () => random.below(100));
  return { do: 'snapshot', origins, readOnly: random.oneIn(5) };
}

/** `count` random steps; the first makes a volume. */
export function sequenceOf(random: Random, seed: number, count: number): Sequence {
  const blockSize = random.weighted(BLOCK_SIZES);
  // One leaf; leaves of their own; maps of two and three levels.
  const factor = random.pick([1, 1, 40, 511, 5000, 300_000]);
  const first: Step = { do: 'create', size: randomSize(random, blockSize), external: false };
  const steps = Array.from({ length: count }, () => random.weighted(STEPS)(random, blockSize));
  return { seed, blockSize, factor, steps: [first, ...steps] };
}

export function showStep(step: Step): string {
  return JSON.stringify(step);
}
