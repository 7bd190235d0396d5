// Reads and writes of one open file, by fio: throughput, of the page cache where nothing says otherwise.
import { sh } from '../shell.js';
import type { Scale } from './trees.js';
import { fioFigure, type Mounted, type UnionWorkload, workload } from './workload.js';

type Mode = 'read' | 'randread' | 'write' | 'randwrite';

const SIZES = { read: '128k', randread: '4k', write: '128k', randwrite: '4k' } as const;
const WORDS = {
  read: 'sequential read',
  randread: 'random read',
  write: 'sequential write',
  randwrite: 'random write',
} as const;

function fio(mode: Mode, fsync: boolean) {
  return ({ site, scale }: Mounted): number => {
    const seconds = scale.data < 100 ? 1 : 2;
    const script = `fio --name=x --filename=data --rw=${mode} --bs=${SIZES[mode]} --size=${scale.data}M --runtime=${seconds} --time_based --output-format=terse --terse-version=3 --invalidate=0 --fallocate=none ${fsync ? '--fsync=1' : ''}`;
    return fioFigure(sh(script, site.mnt), mode, unitOf(mode));
  };
}

const unitOf = (mode: Mode) => (mode.startsWith('rand') ? 'kIOPS' : 'MB/s');

function row(mode: Mode, where: 'lower' | 'upper', scale: Scale, fsync = false): UnionWorkload {
  const size = SIZES[mode];
  const rewrite = `dd if=/dev/zero of=data bs=1M conv=notrunc count=${scale.data} status=none; sync data`;
  return workload({
    name: `${WORDS[mode]}, ${fsync ? 'fsync' : where}`,
    group: 'One open file',
    about: `${size} at a time in a file of ${scale.data} MiB in the ${where} layer${fsync ? ', fsync after each' : ''}`,
    tree: where === 'lower' ? 'data' : 'empty',
    unit: unitOf(mode),
    before:
      where === 'lower'
        ? 'cat data >/dev/null'
        : `>data; ${rewrite.replace('conv=notrunc ', '')}; cat data >/dev/null`,
    run: fio(mode, fsync),
    after: `[ $(stat -c %s data) = ${scale.data * 2 ** 20} ]`,
    quick: !fsync && (where === 'upper' || mode === 'read'),
  });
}

export function openFileWorkloads(scale: Scale): UnionWorkload[] {
  return [
    row('read', 'lower', scale),
    row('randread', 'lower', scale),
    row('read', 'upper', scale),
    row('randread', 'upper', scale),
    row('write', 'upper', scale),
    row('randwrite', 'upper', scale),
    row('write', 'upper', scale, true),
    row('randwrite', 'upper', scale, true),
  ];
}
