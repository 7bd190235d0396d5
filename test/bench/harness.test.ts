// The bench itself, as `npm run bench` starts it: it measures and says so in every form, refuses wrong words, leaves out what is not
// installed, and takes everything away when it is interrupted.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { markedProcesses, mountsBelow } from '../../bench/place.js';
import type { Results } from '../../bench/results.js';
import { scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { RESULTS } from './results.js';

needs(
  'mount',
  'fio',
  'gcc',
  'git',
  'make',
  'perl',
  'sqlite3',
  'mkfs.ext4',
  'losetup',
  'fuse-overlayfs',
  'qemu-nbd',
  'nbdcopy',
);

const TOP = fileURLToPath(new URL('../../', import.meta.url));
const RUN = join(TOP, 'build/bench/run.js');

t.before(() => {
  const built = spawnSync(
    process.execPath,
    [join(TOP, 'node_modules/typescript/bin/tsc'), '-p', 'bench/tsconfig.json'],
    {
      cwd: TOP,
      encoding: 'utf8',
    },
  );
  if (built.status !== 0) throw new Error(built.stdout);
});

function bench(words: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return spawnSync(process.execPath, [RUN, ...words], {
    encoding: 'utf8',
    timeout: 120_000,
    env: { ...process.env, ...env },
  });
}

/** Nothing is left of runs in `dir`. */
function gone(t: Test, dir: string): void {
  t.same(readdirSync(dir), [], 'no directory');
  t.same(mountsBelow(dir), [], 'no mount');
  t.notMatch(spawnSync('losetup', ['-l'], { encoding: 'utf8' }).stdout, dir, 'no loop device');
  t.same(markedProcesses(dir), [], 'no process');
}

t.test('two workloads on two subjects', async t => {
  const { mkdir, path } = scratch(t, 'bench');
  const place = mkdir('place');
  const files = { json: path('r.json'), html: path('r.html') };
  const words = ['--quick', '--only', '^(create and unlink|mount, 2 layers|memory, idle)$', '--trials', '2'];
  const outputs = ['--json', files.json, '--html', files.html, '--dir', place];
  const { status, stdout, stderr } = bench([...words, '--subjects', 'overlay2,lamina', ...outputs]);
  t.equal(status, 0, stderr);
  t.equal(stderr, '');
  t.match(stdout, /^kernel: Linux \d/m);
  t.match(
    stdout,
    /^filesystem: \w+ of .*\n(.*\n)*\| create and unlink \| ms \| [\d.]+ ±\d+% \| [\d.]+ ±\d+% [\d.]+× \|$/m,
  );
  const results = JSON.parse(readFileSync(files.json, 'utf8')) as Results;
  t.same([results.format, results.trials, results.quick], [1, 2, true]);
  const [suite] = results.suites;
  t.same(
    suite?.rows.map(({ name, figures }) => [
      name,
      Object.entries(figures).map(([key, taken]) => [key, taken.length]),
    ]),
    [
      [
        'create and unlink',
        [
          ['overlay2', 2],
          ['lamina', 2],
        ],
      ],
      [
        'mount, 2 layers',
        [
          ['overlay2', 2],
          ['lamina', 2],
        ],
      ],
      ['memory, idle', [['lamina', 2]]],
    ],
  );
  for (const row of suite!.rows)
    for (const taken of Object.values(row.figures))
      t.ok(
        taken.every(figure => figure > 0),
        row.name,
      );
  t.same(suite!.rows[2]!.gaps, { overlay2: 'the kernel has no process for it' });
  t.match(readFileSync(files.html, 'utf8'), /^<!doctype html>.*create and unlink/s);
  gone(t, place);
});

t.test('volumes, served in every way', async t => {
  const { mkdir, path } = scratch(t, 'bench-thin');
  const place = mkdir('place');
  const words = [
    '--suite',
    'thin',
    '--quick',
    '--only',
    '^nbdcopy in$|^sequential write, shared$',
    '--dir',
    place,
  ];
  const { status, stdout, stderr } = bench([...words, '--json', path('r.json')]);
  t.equal(status, 0, stderr);
  t.match(stdout, /^\| nbdcopy in \| MB\/s \| [\d.]+ (\| [\d.]+ [\d.]+× ){4}\|$/m);
  const { rows } = (JSON.parse(readFileSync(path('r.json'), 'utf8')) as Results).suites[0]!;
  t.same(
    rows.map(({ figures }) => Object.keys(figures).sort()),
    [
      ['lamina-loop', 'lamina-nbd', 'loop', 'qemu-qcow2', 'qemu-raw'],
      ['lamina-loop', 'lamina-nbd', 'qemu-qcow2'],
    ],
  );
  t.same(Object.keys(rows[1]!.gaps).sort(), ['loop', 'qemu-raw'], 'raw files have no snapshots');
  gone(t, place);
});

t.test('a peer that is not installed is named and left out', async t => {
  const { mkdir, path } = scratch(t, 'bench-path');
  const bin = mkdir('bin');
  for (const folder of ['/usr/bin', '/usr/sbin', '/bin', '/sbin']) {
    for (const name of existsSync(folder) ? readdirSync(folder) : []) {
      if (name !== 'fuse-overlayfs' && !existsSync(join(bin, name)))
        symlinkSync(join(folder, name), join(bin, name));
    }
  }
  const words = [
    '--quick',
    '--only',
    '^rename$',
    '--subjects',
    'plain,fuse-overlayfs',
    '--dir',
    mkdir('place'),
  ];
  const { status, stdout, stderr } = bench([...words, '--json', path('r.json')], { PATH: bin });
  t.equal(status, 0, stderr);
  t.match(stdout, /^fuse-overlayfs is left out: it needs apt-get install fuse-overlayfs$/m);
  t.match(stdout, /^\| rename \| ms \| [\d.]+ \|$/m);
  const results = JSON.parse(readFileSync(path('r.json'), 'utf8')) as Results;
  t.same(results.suites[0]!.missing, { 'fuse-overlayfs': 'apt-get install fuse-overlayfs' });
  t.match(
    bench(['--list'], { PATH: bin }).stdout,
    /fuse-overlayfs .*not here: apt-get install fuse-overlayfs/,
  );
});

t.test('wrong words are one sentence and status 2', async t => {
  const { dir, write } = scratch(t, 'bench-words');
  const rows: [words: string[], sentence: RegExp][] = [
    [['--frobnicate'], /Unknown option '--frobnicate'; --help/],
    [['walk'], /Unexpected argument 'walk'/],
    [['--suite', 'onion'], /--suite onion: union, thin, engines or all/],
    [['--only', '('], /--only: Invalid regular expression/],
    [['--only', 'no such workload'], /nothing to measure/],
    [['--subjects', 'lamina,lamian'], /--subjects lamian: there are plain, overlay2/],
    [['--subjects', ','], /--subjects: names/],
    [['--trials', '0'], /--trials 0: a number from 1/],
    [['--trials', 'many'], /--trials many: a number/],
    [['--dir', join(dir, 'none')], /--dir .*none: ENOENT/],
    [['--picture', 'x.svg'], /--picture x.svg: a name that ends in .png/],
    [['--from', join(dir, 'none')], /--from .*none: ENOENT/],
    [['--from', write('other.json', '{}')], /other.json: not the results of this bench/],
    [['--json', join(dir, 'none/r.json')], /--json .*none.*: ENOENT/],
    [['--html', join(dir, 'none/r.html')], /--html .*none.*: ENOENT/],
  ];
  for (const [words, sentence] of rows) {
    const { status, stdout, stderr } = bench(words);
    t.equal(status, 2, words.join(' '));
    t.equal(stdout, '');
    t.match(stderr, /^bench: [^\n]+\n$/, 'one line');
    t.match(stderr, sentence);
  }
});

t.test('--from shows results again, and --check compares them with the targets', async t => {
  const { path } = scratch(t, 'bench-from');
  const [suite] = RESULTS.suites;
  const slow = suite!.rows.map(row =>
    row.name === 'rm -rf lower' ? { ...row, failures: {}, figures: { ...row.figures, lamina: [400] } } : row,
  );
  writeFileSync(path('r.json'), JSON.stringify({ ...RESULTS, suites: [{ ...suite, rows: slow }] }));
  const { status, stdout } = bench(['--from', path('r.json'), '--html', path('r.html'), '--check']);
  t.equal(status, 1, 'a target is missed');
  t.match(stdout, /^\| walk, cold \| ms \| 70.0 ±10% 0.88× \|/m);
  t.match(stdout, /\nTargets that are missed [^\n]*\n {2}rm -rf lower: 5.00, target 3\n$/, 'and no other');
  t.ok(existsSync(path('r.html')));
  t.equal(bench(['--from', path('r.json')]).status, 0, 'without --check it is not asked');
  writeFileSync(path('r.json'), JSON.stringify(RESULTS));
  t.equal(bench(['--from', path('r.json')]).status, 1, 'a failure is one here too');
});

async function until(condition: () => boolean, child: ChildProcess): Promise<void> {
  for (const end = Date.now() + 60_000; !condition(); await sleep(20)) {
    if (child.exitCode !== null || Date.now() > end) throw new Error('the bench does not get there');
  }
}

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  t.test(`${signal} in the middle of a trial`, async t => {
    const place = scratch(t, 'bench-signal').mkdir('place');
    const words = [
      '--quick',
      '--only',
      '^missing names, 100 layers$',
      '--subjects',
      'lamina',
      '--trials',
      '1000',
    ];
    const child = spawn(process.execPath, [RUN, ...words, '--dir', place], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = once(child, 'exit');
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await until(() => mountsBelow(place).some(point => point.endsWith('/disk/mnt')), child);
    child.kill(signal);
    t.same(await ended, [expected, null]);
    t.equal(said, `bench: ended by ${signal}\n`);
    gone(t, place);
  });
}

t.test('what fails in a trial is told, and the rest goes on', async t => {
  const { mkdir, path } = scratch(t, 'bench-fails');
  mkdirSync(path('cli'));
  writeFileSync(path('cli/main.js'), 'console.error("lamina: made to fail"); process.exit(1)');
  const place = mkdir('place');
  const words = [
    '--quick',
    '--only',
    '^rename$',
    '--subjects',
    'plain,lamina',
    '--dir',
    place,
    '--json',
    path('r.json'),
  ];
  const { status, stdout, stderr } = bench(words, { LAMINA_MAIN: path('cli/main.js') });
  t.equal(status, 1);
  t.match(stdout, /^\| rename \| ms \| [\d.]+ \| failed \|$/m);
  t.match(stderr, /^rename on lamina failed: .*made to fail/s);
  const results = JSON.parse(readFileSync(path('r.json'), 'utf8')) as Results;
  t.match(results.suites[0]!.rows[0]!.failures, { lamina: /made to fail/ });
  gone(t, place);
});
