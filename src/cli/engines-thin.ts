// The rows of `lamina serve` about its thin pool. Docker's devicemapper driver had most of them, as dm.* options.
import { type ByteString, toText } from '../base/index.js';
import type { ThinOptions } from '../store/index.js';
import { parseSize, parseWhole, parseWord } from './size.js';

type Settings = { -readonly [K in keyof ThinOptions]: ThinOptions[K] };

interface ThinRow {
  readonly name: string;
  readonly argument: string;
  readonly help: string;
  set(thin: Settings, value: ByteString, what: string): void;
}

export const THIN_ROWS: readonly ThinRow[] = [
  {
    name: 'thin-data-size',
    argument: '<size>',
    help: 'thin: how much the pool can hold at first; it takes space as it is used (default 100G)',
    set: (thin, value, what) => {
      thin.dataSize = parseSize(value, what);
    },
  },
  {
    name: 'thin-block-size',
    argument: '<size>',
    help: 'thin: unit of allocation of a new pool (default 64K)',
    set: (thin, value, what) => {
      thin.blockSize = parseSize(value, what);
    },
  },
  {
    name: 'thin-grow-threshold',
    argument: '<percent>',
    help: 'thin: the pool grows by itself when so much is used; 100 is never (default 80)',
    set: (thin, value, what) => {
      thin.growThreshold = parseWhole(value, what, 1, 100);
    },
  },
  {
    name: 'thin-grow-percent',
    argument: '<percent>',
    help: 'thin: by how much of its size (default 20)',
    set: (thin, value, what) => {
      thin.growPercent = parseWhole(value, what, 1, 1000);
    },
  },
  {
    name: 'thin-on-full',
    argument: '<what>',
    help: 'thin: writes that find no space get an error, or queue for it (default error)',
    set: (thin, value, what) => {
      thin.onFull = parseWord(value, what, ['error', 'queue']);
    },
  },
  {
    name: 'thin-min-free-space',
    argument: '<percent>',
    help: 'thin: no new layer when less of the pool is free (default 10)',
    set: (thin, value, what) => {
      thin.minFreeSpace = parseWhole(value, what, 0, 99);
    },
  },
  {
    name: 'thin-base-size',
    argument: '<size>',
    help: "thin: size of a layer's file system unless its engine gives one; can be raised later (default 10G)",
    set: (thin, value, what) => {
      thin.baseSize = parseSize(value, what);
    },
  },
  {
    name: 'thin-fs',
    argument: '<type>',
    help: 'thin: file system of a new pool’s layers, ext4 or xfs (default ext4)',
    set: (thin, value, what) => {
      thin.filesystem = parseWord(value, what, ['ext4', 'xfs']);
    },
  },
  {
    name: 'thin-mkfs-args',
    argument: '<words>',
    help: 'thin: further arguments of mkfs, with spaces between them',
    set: (thin, value) => {
      thin.mkfsArgs = toText(value)
        .split(/\s+/)
        .filter(word => word !== '');
    },
  },
  {
    name: 'thin-mount-options',
    argument: '<list>',
    help: 'thin: further mount options of layers, with commas (ours are noatime,discard)',
    set: (thin, value) => {
      thin.mountOptions = toText(value);
    },
  },
];
