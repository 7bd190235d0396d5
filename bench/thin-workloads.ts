// What is done to a volume served over NBD, as a table; the figure of each is better when it is higher. fio's nbd engine and
// nbdcopy are the clients.
import { sh } from './subjects.js';
import type { Content } from './thin-subjects.js';

export interface ThinWorkload {
  readonly name: string;
  readonly content: Content;
  readonly unit: 'kIOPS' | 'MB/s';
  /** The figure; `image` has the size of the volume. */
  run(uri: string, image: string, size: number): number;
}

type Mode = 'randread' | 'randwrite' | 'read' | 'write';

/** Seconds of a workload that can go on for as long as one wants. */
const SECONDS = 2;

/**
 * fio on the whole volume. What changes by being done (a fresh block, a shared one) is done once all over: every 4 KiB of a
 * sixteenth of the volume in random order, or all of it in order.
 */
function fio(mode: Mode, block: '4k' | '1m', depth: number, content: Content) {
  return (uri: string, _image: string, size: number): number => {
    const once = mode.endsWith('write') && content !== 'full';
    const amount = once
      ? `--io_size=${block === '4k' ? size / 16 : size}`
      : `--time_based --runtime=${SECONDS}`;
    const script = `fio --name=x --ioengine=nbd --uri="$U" --rw=${mode} --bs=${block} --iodepth=${depth} --size=${size} ${amount} --randrepeat=1 --output-format=terse --terse-version=3`;
    const fields = sh(script, '/', { U: uri })
      .split('\n')
      .find(line => line.startsWith('3;'))!
      .split(';');
    // Terse version 3: fields 7 and 48 are read and write bandwidth in KiB/s, 8 and 49 the IOPS.
    const first = mode.endsWith('write') ? 47 : 6;
    return block === '1m' ? (Number(fields[first]) * 1024) / 1e6 : Number(fields[first + 1]) / 1000;
  };
}

function nbdcopy(direction: 'in' | 'out') {
  return (uri: string, image: string, size: number): number => {
    const begun = process.hrtime.bigint();
    sh(direction === 'in' ? 'nbdcopy "$I" "$U"' : 'nbdcopy "$U" null:', '/', { U: uri, I: image });
    return size / 1e6 / (Number(process.hrtime.bigint() - begun) / 1e9);
  };
}

const WORDS: Record<Content, string> = { fresh: 'fresh', full: 'full', snapshotted: 'after a snapshot' };

function workloads(content: Content, modes: readonly Mode[]): ThinWorkload[] {
  return modes.flatMap(mode =>
    mode.startsWith('rand')
      ? [1, 16].map((depth): ThinWorkload => {
          const name = `${mode} 4k, depth ${depth}, ${WORDS[content]}`;
          return { name, content, unit: 'kIOPS', run: fio(mode, '4k', depth, content) };
        })
      : [
          {
            name: `${mode} 1m, ${WORDS[content]}`,
            content,
            unit: 'MB/s' as const,
            run: fio(mode, '1m', 1, content),
          },
        ],
  );
}

const ALL: readonly Mode[] = ['randread', 'randwrite', 'read', 'write'];

export const THIN_WORKLOADS: readonly ThinWorkload[] = [
  ...workloads('fresh', ALL),
  ...workloads('full', ALL),
  ...workloads('snapshotted', ['randwrite', 'write']),
  { name: 'nbdcopy in, fresh', content: 'fresh', unit: 'MB/s', run: nbdcopy('in') },
  { name: 'nbdcopy out, full', content: 'full', unit: 'MB/s', run: nbdcopy('out') },
];
