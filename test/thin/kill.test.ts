// kill -9 of a process that has the pool, at any time: what was flushed is there, and the pool is clean. LAMINA_SEED and
// LAMINA_ROUNDS (kills) choose others.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { checkPool } from '../../src/thin/check.js';
import { Pool } from '../../src/thin/pool.js';
import { scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { Random } from '../support/random.js';
import { contents } from '../support/thin-crash-contents.js';
import { type Content, expectationAt, judge, type State, type Step } from '../support/thin-crash-model.js';
import { POOL } from '../support/thin-crash-run.js';

needs('fio');

const SEED = Number(process.env.LAMINA_SEED ?? Date.now() % 1_000_000);
const ROUNDS = Number(process.env.LAMINA_ROUNDS ?? 3);
const FIO = ['--name=work', '--ioengine=nbd', '--iodepth=8', '--size=24M', '--verify_state_save=0'];
const CHILD = fileURLToPath(new URL('./kill-child.ts', import.meta.url));
const MAIN = process.env.LAMINA_MAIN ?? fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Starts a program and waits for the line that says that it is ready. */
async function start(t: Test, program: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const line = await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')]);
  if (!String(line[0]).startsWith('ready')) throw new Error(`${args.join(' ')}: ${String(line[0])}`);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** The steps that a killed child wrote down; a line that was cut off did not end. */
function stepsIn(file: string): { steps: Step[]; moment: number } {
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  const steps: Step[] = [];
  for (const [at, line] of lines.entries()) {
    const { ended, what, volume, whole, durable, touched } = JSON.parse(line);
    if (ended !== undefined) steps[ended]!.ended = at + 1;
    else {
      steps.push({
        what,
        begun: at + 1,
        ended: Number.POSITIVE_INFINITY,
        ...(volume === undefined ? {} : { volume }),
        ...(whole === undefined ? {} : { whole }),
        ...(touched === undefined ? {} : { touched: new Map(touched) }),
        ...(durable === undefined ? {} : { durable: new Map(durable.map(stateOf)) }),
      });
    }
  }
  return { steps, moment: lines.length };
}

function stateOf([name, { size, stamps }]: [string, { size: number; stamps: string }]): [string, Content] {
  const bytes = new Uint8Array(Buffer.from(stamps, 'base64'));
  return [name, { size, stamps: new Uint32Array(bytes.buffer) }];
}

t.test('a process that works at random', { timeout: 3_600_000 }, async t => {
  const place = scratch(t, 'kill', { in: 'memory' });
  const dir = place.path('pool');
  await Pool.create(dir, { size: POOL });
  let state: State = new Map();
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const random = new Random(seed);
    const file = place.path(`steps-${seed}`);
    const child = await start(t, process.execPath, [...process.execArgv, CHILD, dir, file, String(seed)]);
    // Any time will do: which one is the point.
    await setTimeout(random.below(500));
    await kill(child);
    const { steps, moment } = stepsIn(file);
    t.same((await checkPool(dir)).findings, [], `LAMINA_SEED=${seed}: clean after ${steps.length} steps`);
    const pool = await Pool.open(dir);
    const found = await contents(pool);
    await pool.close();
    t.equal(judge(found, expectationAt(steps, state, moment)), null, `LAMINA_SEED=${seed}`);
    state = found;
  }
});

function fio(uri: string, ...options: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(
    'fio',
    [...FIO, `--uri=${uri}`, '--bs=16k', '--verify=crc32c', '--verify_fatal=1', ...options],
    { encoding: 'utf8', timeout: 60_000 },
  );
  return { status, output: stdout + stderr };
}

t.test('lamina nbd under fio', { timeout: 120_000 }, async t => {
  t.ok(existsSync(MAIN), 'npm run build');
  const place = scratch(t, 'kill', { in: 'memory' });
  const dir = place.path('pool');
  await Pool.create(dir, { size: 96 * 2 ** 20 });
  const pool = await Pool.open(dir);
  for (const name of ['kept', 'killed']) await pool.createVolume({ name, size: 24 * 2 ** 20 });
  await pool.close();
  const socket = place.path('socket');
  const uri = (name: string): string => `nbd+unix:///${name}?socket=${socket}`;
  const serve = (): Promise<ChildProcess> =>
    start(t, process.execPath, [MAIN, 'nbd', '--socket', socket, `${dir}/kept`, `${dir}/killed`]);

  let server = await serve();
  const written = fio(uri('kept'), '--rw=randwrite', '--do_verify=0', '--end_fsync=1');
  t.equal(written.status, 0, written.output);
  const killed = spawn('fio', [
    ...[
      ...FIO,
      `--uri=${uri('killed')}`,
      '--rw=randwrite',
      '--bs=4k',
      '--fsync=20',
      '--time_based',
      '--runtime=60',
    ],
  ]);
  t.teardown(() => killed.kill('SIGKILL'));
  await setTimeout(1500);
  const ended = once(killed, 'exit');
  await kill(server);
  await ended;
  t.same((await checkPool(dir)).findings, [], 'clean');

  server = await serve();
  const verified = fio(uri('kept'), '--rw=read');
  t.equal(verified.status, 0, verified.output);
  t.match(verified.output, /issued rwts: total=1536,/, 'all of it was read');
  server.kill('SIGTERM');
  await once(server, 'exit');
  t.same((await checkPool(dir)).findings, [], 'clean after a proper end');
});
