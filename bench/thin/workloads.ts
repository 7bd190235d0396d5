// What is done to a volume, as a table. fio is the client, with its nbd engine or with libaio on a block device, and nbdcopy.
import type { WorkloadInfo } from '../results.js';
import { sh } from '../shell.js';
import { fioFigure } from '../union/workload.js';
import type { Content } from './subjects.js';

export interface ThinWorkload extends WorkloadInfo {
  readonly content: Content;
  readonly quick: boolean;
  /** The figure; `image` has the size of the volume, which is `size` bytes. */
  run(address: string, image: string, size: number): number;
}

type Mode = 'randread' | 'randwrite' | 'read' | 'write';

/** Raw files are the least that anything can do, but have no snapshots; there qcow2 is. */
export const THIN_BASES = ['qemu-raw', 'qemu-qcow2'];

const WORDS: Record<Mode, string> = {
  randread: 'random read',
  randwrite: 'random write',
  read: 'sequential read',
  write: 'sequential write',
};
const CONTENTS: Record<Content, string> = { fresh: 'fresh', full: 'full', snapshotted: 'shared' };
/** Seconds of a workload that can go on for as long as one wants. */
const SECONDS = 2;

/**
 * fio on the whole volume. What changes by being done (a fresh block, a shared one) is done once all over: every 4 KiB of a
 * sixteenth of the volume in random order, or all of it in order.
 */
function fio(mode: Mode, block: '4k' | '1m', depth: number, content: Content) {
  return (address: string, _image: string, size: number): number => {
    const once = mode.endsWith('write') && content !== 'full';
    const amount = once
      ? `--io_size=${block === '4k' ? size / 16 : size}`
      : `--time_based --runtime=${SECONDS}`;
    const engine = address.startsWith('/')
      ? '--ioengine=libaio --direct=1 --filename="$A"'
      : '--ioengine=nbd --uri="$A"';
    const script = `fio --name=x ${engine} --rw=${mode} --bs=${block} --iodepth=${depth} --size=${size} ${amount} --randrepeat=1 --output-format=terse --terse-version=3`;
    return fioFigure(sh(script, '/', { A: address }), mode, block === '1m' ? 'MB/s' : 'kIOPS');
  };
}

/** Copies are over when what was copied is durable. */
function nbdcopy(direction: 'in' | 'out') {
  return (address: string, image: string, size: number): number => {
    const begun = process.hrtime.bigint();
    sh(direction === 'in' ? 'nbdcopy --flush "$I" "$A"' : 'nbdcopy "$A" null:', '/', {
      A: address,
      I: image,
    });
    const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
    // Every byte has to have arrived.
    if (direction === 'in') sh('cmp "$I" <(nbdcopy "$A" -)', '/', { A: address, I: image });
    return size / 1e6 / seconds;
  };
}

function row(mode: Mode, depth: number, content: Content): ThinWorkload {
  const random = mode.startsWith('rand');
  const block = random ? '4k' : '1m';
  return {
    name: `${WORDS[mode]}${random ? `, depth ${depth}` : ''}, ${CONTENTS[content]}`,
    group: `A volume that is ${content === 'snapshotted' ? 'full, its blocks shared with a snapshot' : content}`,
    about: `${block} at a time${random ? `, ${depth} in flight` : ''}`,
    content,
    unit: random ? 'kIOPS' : 'MB/s',
    bases: THIN_BASES,
    quick: !random || depth === 16,
    run: fio(mode, block, depth, content),
  };
}

function rows(content: Content, modes: readonly Mode[]): ThinWorkload[] {
  return modes.flatMap(mode =>
    (mode.startsWith('rand') ? [1, 16] : [1]).map(depth => row(mode, depth, content)),
  );
}

function copy(direction: 'in' | 'out', content: Content): ThinWorkload {
  return {
    name: `nbdcopy ${direction}`,
    group: `A volume that is ${content}`,
    about: direction === 'in' ? 'a whole image into the volume, durable' : 'the whole volume, to nothing',
    content,
    unit: 'MB/s',
    bases: THIN_BASES,
    quick: true,
    run: nbdcopy(direction),
  };
}

const ALL: readonly Mode[] = ['randread', 'randwrite', 'read', 'write'];

export const THIN_WORKLOADS: readonly ThinWorkload[] = [
  ...rows('fresh', ALL),
  copy('in', 'fresh'),
  ...rows('full', ALL),
  copy('out', 'full'),
  ...rows('snapshotted', ['randwrite', 'write']),
];
