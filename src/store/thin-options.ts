// How the pool of a store and the file systems in it are made: the options, their rules, their defaults. Those that are not
// given leave a pool that is there as it is.
import { E, SysError } from '../base/index.js';

const GIB = 2 ** 30;

/** File systems that a layer can have. */
export type ThinFilesystem = 'ext4' | 'xfs';

export interface ThinOptions {
  /** Bytes of data that a new pool can hold; a larger number makes a pool that is there grow. */
  readonly dataSize?: number;
  /** Bytes of a block; only for a new pool. */
  readonly blockSize?: number;
  /** Percent used from which the pool grows by itself; 100: never. */
  readonly growThreshold?: number;
  /** By how many percent. */
  readonly growPercent?: number;
  /** Writes that find no space get an error, or wait for it. */
  readonly onFull?: 'error' | 'queue';
  /** Percent of the pool's data and metadata that must be free for a new layer. */
  readonly minFreeSpace?: number;
  /** Bytes of the file system of a layer without a quota. A base that is there can grow, and never shrink. */
  readonly baseSize?: number;
  /** Only for a new base. */
  readonly filesystem?: ThinFilesystem;
  /** Arguments for mkfs, after our own. */
  readonly mkfsArgs?: readonly string[];
  /** Options of mount(8) for every layer, with commas, after our own. */
  readonly mountOptions?: string;
}

/** For what is new. */
export const THIN_DEFAULTS = {
  dataSize: 100 * GIB,
  blockSize: 64 * 1024,
  growThreshold: 80,
  growPercent: 20,
  onFull: 'error',
  minFreeSpace: 10,
  baseSize: 10 * GIB,
  filesystem: 'ext4',
} as const satisfies ThinOptions;

const RULES: { readonly [K in keyof Required<ThinOptions>]: readonly [(value: unknown) => boolean, string] } =
  {
    dataSize: [isBytes, 'a number of bytes'],
    blockSize: [isBytes, 'a number of bytes'],
    growThreshold: [percent(1, 100), 'a percentage from 1 to 100'],
    growPercent: [percent(1, 1000), 'a percentage from 1 to 1000'],
    onFull: [value => value === 'error' || value === 'queue', 'error or queue'],
    minFreeSpace: [percent(0, 99), 'a percentage from 0 to 99'],
    baseSize: [isBytes, 'a number of bytes'],
    filesystem: [value => value === 'ext4' || value === 'xfs', 'ext4 or xfs'],
    mkfsArgs: [
      value => Array.isArray(value) && value.every(each => typeof each === 'string'),
      'a list of texts',
    ],
    mountOptions: [value => typeof value === 'string' && !/\s/.test(value), 'mount options with commas'],
  };

function isBytes(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

function percent(least: number, most: number): (value: unknown) => boolean {
  return value => typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

/** SysError EINVAL names an option that is unknown or breaks its rule. */
export function checkThinOptions(options: ThinOptions): void {
  for (const [name, value] of Object.entries(options)) {
    const rule = Object.hasOwn(RULES, name) ? RULES[name as keyof ThinOptions] : undefined;
    if (rule === undefined) throw new SysError(E.EINVAL, `the thin backend has no option ${name}`);
    if (!rule[0](value))
      throw new SysError(E.EINVAL, `${name} must be ${rule[1]}, and is ${JSON.stringify(value)}`);
  }
}
