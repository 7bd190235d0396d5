// The control socket: what a caller gets, many callers at once, callers that stop, die, or talk nonsense.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { E, errnoName } from '../../src/base/index.js';
import { askOwner } from '../../src/export/control-client.js';
import { Stage } from './control-stage.js';

async function* pieces(count: number, size: number): AsyncGenerator<Buffer> {
  for (let i = 0; i < count; i++) yield Buffer.alloc(size, i);
}

t.test('an operation answers, fails, or breaks', async t => {
  const { dir, subject } = await Stage.open(t);
  t.same(await askOwner(dir, { operation: 'echo', params: { text: 'ü€' } }, {}), { result: { text: 'ü€' } });
  const rows: [operation: string, params: unknown, errno: number, what: RegExp][] = [
    ['fail', {}, E.ENOSPC, /^the pool is full:/],
    ['break', {}, E.EIO, /a mistake of ours/],
    ['echo', {}, E.EINVAL, /^parameter text must be a text:/],
    ['echo', { text: 7 }, E.EINVAL, /^parameter text/],
    ['echo', 'text', E.EINVAL, /^parameter text/],
    ['nothing', {}, E.EOPNOTSUPP, /knows no operation nothing:/],
    ['toString', {}, E.EOPNOTSUPP, /knows no operation toString:/],
  ];
  for (const [operation, params, errno, what] of rows) {
    await t.rejects(
      askOwner(dir, { operation, params }, {}),
      { code: errnoName(errno), message: what },
      `${operation}: ${what}`,
    );
  }
  t.same(subject.log, ['echo ü€'], 'only what was right has run');
  t.match(subject.defects, [/break: TypeError/], 'a mistake of ours is told');
});

t.test('nobody listens', async t => {
  const stage = await Stage.open(t);
  const { dir } = stage;
  t.equal(statSync(join(dir, 'control.sock')).mode & 0o777, 0o600, 'only its owner can connect');
  t.same(readdirSync(dir), ['control.sock']);
  await stage.server.value?.close(false);
  t.same(readdirSync(dir), [], 'the name is gone');
  t.equal(await askOwner(dir, { operation: 'echo', params: { text: 'a' } }, {}), null);
  writeFileSync(join(dir, 'control.sock'), '');
  t.equal(await askOwner(dir, { operation: 'echo', params: {} }, {}), null, 'a file that is no socket');
  await stage.listen();
  t.same(await askOwner(dir, { operation: 'echo', params: { text: 'b' } }, {}), { result: { text: 'b' } });
  await t.rejects(askOwner(join(dir, 'none'), { operation: 'echo', params: {} }, {}), { code: 'ENOENT' });
});

t.test('a directory whose path is longer than a socket address', async t => {
  const top = mkdtempSync(join(tmpdir(), 'lamina-control-'));
  t.teardown(() => rmSync(top, { recursive: true, force: true }));
  const dir = join(top, 'd'.repeat(200));
  mkdirSync(dir);
  await Stage.open(t, dir);
  t.same(await askOwner(dir, { operation: 'echo', params: { text: 'far' } }, {}), {
    result: { text: 'far' },
  });
});

t.test('data both ways, and progress', async t => {
  const { dir, subject } = await Stage.open(t);
  const input = pieces(40, 150_001);
  t.same(await askOwner(dir, { operation: 'take', params: {} }, { input }), { result: { bytes: 6_000_040 } });
  for (const [i, piece] of Buffer.concat(subject.received).entries()) {
    if (piece !== Math.floor(i / 150_001)) t.fail(`byte ${i} is ${piece}`);
  }
  let bytes = 0;
  const seen: number[] = [];
  await askOwner(
    dir,
    { operation: 'count', params: { bytes: 1 << 24 } },
    {
      output: async piece => {
        for (const byte of piece) if (byte !== Math.floor(bytes++ / 65_536) % 256) t.fail(`byte ${bytes}`);
      },
      progress: done => void seen.push(done),
    },
  );
  t.equal(bytes, 1 << 24);
  t.ok(seen.length > 0 && seen.length < 256, `progress is told now and then: ${seen.length} times`);
});

t.test('who reads slowly is waited for', async t => {
  const { dir, subject } = await Stage.open(t);
  let resume: (() => void) | undefined;
  const held = new Promise<void>(resolve => {
    resume = resolve;
  });
  const call = askOwner(dir, { operation: 'count', params: { bytes: 1 << 26 } }, { output: () => held });
  // Others are served meanwhile, and nothing is done ahead: 64 MiB do not fit into a socket.
  for (let i = 0; i < 20; i++) await askOwner(dir, { operation: 'echo', params: { text: 'x' } }, {});
  t.notOk(subject.log.includes('count: done'));
  resume?.();
  await call;
  t.equal(subject.log.at(-1), 'count: done');
});

t.test('an operation that has heard enough of its input', async t => {
  const { dir } = await Stage.open(t);
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(1 << 16);
  }
  const call = askOwner(dir, { operation: 'take', params: { hasty: true } }, { input: endless() });
  await t.rejects(call, { code: 'EEXIST', message: /there is one already/ });
});

t.test('a caller that cancels, and one whose own side fails', async t => {
  const { dir, subject } = await Stage.open(t);
  const cancel = new AbortController();
  const call = askOwner(
    dir,
    { operation: 'serve', params: {} },
    { signal: cancel.signal, ready: notes => subject.say(`ready ${notes.join()}`) },
  );
  while (!subject.log.includes('ready live')) await subject.next();
  cancel.abort();
  t.same(await call, { result: null }, 'the outcome is awaited');
  t.equal(subject.log.at(-1), 'serve: over');
  async function* failing(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(10);
    throw new Error('the disk is broken');
  }
  const next = subject.next();
  const sending = askOwner(dir, { operation: 'take', params: {} }, { input: failing() });
  await t.rejects(sending, /the disk is broken/);
  t.equal(await next, 'take: ECONNRESET', 'the operation has heard of it');
  const over = subject.next();
  const output = async () => {
    throw new Error('the pipe is broken');
  };
  await t.rejects(
    askOwner(dir, { operation: 'count', params: { bytes: 1 << 26 } }, { output }),
    /the pipe is broken/,
  );
  t.equal(await over, 'count: EPIPE');
});

t.test('many callers at once', async t => {
  const { dir, subject } = await Stage.open(t);
  const calls = Array.from({ length: 300 }, (_, i) =>
    askOwner(dir, { operation: 'echo', params: { text: String(i) } }, {}),
  );
  t.same(
    await Promise.all(calls),
    calls.map((_, i) => ({ result: { text: String(i) } })),
  );
  t.equal(subject.log.length, 300);
});

t.test('the owner ends', async t => {
  const stage = await Stage.open(t);
  const { dir, subject } = stage;
  const next = subject.next();
  const serving = askOwner(dir, { operation: 'serve', params: {} }, {});
  await next;
  t.equal(stage.server.value?.running, 1);
  const idle = await stage.raw();
  const closed = stage.server.value?.close(true);
  t.equal(await askOwner(dir, { operation: 'echo', params: { text: 'late' } }, {}), null, 'nobody is let in');
  t.same(await serving, { result: null }, 'who is there gets an answer');
  await closed;
  idle.destroy();
  t.notOk(subject.log.includes('echo late'));
});
