// Small results of the bench, as its page and its tables get them: ratios, gaps, a failure, growth curves, figures without a base,
// and text that would be markup if it were not escaped.
import type { Results, Row } from '../../bench/results.js';

const SUBJECTS = ['plain', 'overlay2', 'fuse-overlayfs', 'unionfs-fuse', 'mergerfs', 'fuse-native', 'lamina'];

/** Three trials around `figure`. */
const around = (figure: number): number[] => [figure * 1.1, figure, figure * 0.9];

const VOLUMES = ['qemu-raw', 'qemu-qcow2', 'loop', 'lamina-nbd', 'lamina-loop'];

function volumeRow(name: string, figures: readonly number[]): Row {
  const taken = Object.fromEntries(VOLUMES.map((subject, i) => [subject, around(figures[i]!)]));
  const base = { unit: 'kIOPS', bases: ['qemu-raw', 'qemu-qcow2'], failures: {}, gaps: {} } as const;
  return { ...base, name, group: 'A full volume', about: '4k at a time', figures: taken };
}

function row(name: string, group: string, figures: readonly number[], more: Partial<Row> = {}): Row {
  const taken = Object.fromEntries(SUBJECTS.map((subject, i) => [subject, around(figures[i]!)]));
  const base = { unit: 'ms', bases: ['overlay2'], gaps: {}, failures: {} } as const;
  return { ...base, name, group, about: `what ${name} does`, figures: taken, ...more };
}

const without = (figures: Row['figures'], ...names: string[]): Row['figures'] =>
  Object.fromEntries(Object.entries(figures).filter(([name]) => !names.includes(name)));

const WALK = row('walk, cold', 'Reading <b>&\'"</b>', [70, 80, 200, 160, 150, 400, 120]);
const CHANGE = row('rm -rf lower', 'Changing', [70, 80, 600, 700, 0, 900, 150]);
const WRITE = row('random write, upper', 'Changing', [200, 190, 8, 7, 3, 5, 180], { unit: 'kIOPS' });
const LAYERS = [2, 10, 100, 500].map(layers =>
  row(`missing names, ${layers} layers`, 'Layers', [5, 20 * layers, 120, 30 * layers, 15 * layers, 90, 40], {
    curve: { name: 'missing names', axis: 'layers', x: layers, per: 20000 },
  }),
);
const MEMORY = row('memory, idle', 'Memory', [0, 0, 1, 2, 3, 60, 55], { unit: 'MiB', bases: [] });

export const RESULTS: Results = {
  format: 1,
  taken: '2026-11-30T07:50:00.000Z',
  seconds: 100,
  trials: 3,
  quick: false,
  machine: { processor: '2 × </script><script>throw 1</script>', kernel: 'Linux 6.18' },
  suites: [
    {
      name: 'union',
      title: 'Union file systems',
      subjects: SUBJECTS.map(name => ({ name, about: `${name}, as it is used` })),
      missing: { 'another-fs': 'apt-get install another-fs' },
      rows: [
        WALK,
        {
          ...CHANGE,
          figures: without(CHANGE.figures, 'mergerfs', 'fuse-native'),
          gaps: { mergerfs: 'it has no whiteouts' },
          failures: { 'fuse-native': 'EIO' },
        },
        WRITE,
        ...LAYERS,
        {
          ...MEMORY,
          figures: without(MEMORY.figures, 'plain', 'overlay2'),
          gaps: { plain: 'no process', overlay2: 'no process' },
        },
      ],
    },
    {
      name: 'thin',
      title: 'Thin volumes',
      subjects: VOLUMES.map(name => ({ name, about: `${name}, as it is used` })),
      missing: {},
      rows: [
        volumeRow('random read, depth 16, full', [50, 40, 100, 60, 20]),
        volumeRow('random write, depth 16, shared', [30, 0.5, 90, 15, 10]),
      ],
    },
  ],
};
