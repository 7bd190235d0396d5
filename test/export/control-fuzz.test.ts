// Nonsense on the control socket: whoever talks it is cut off or told, nothing runs that was not asked for, and everybody else
// is served as before.
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { askOwner } from '../../src/export/control-client.js';
import { frame, Stage, untilClosed } from './control-stage.js';

/** mulberry32: random numbers that a seed repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

async function works(t: Test, stage: Stage, name: string): Promise<void> {
  const { dir } = stage;
  t.same(
    await askOwner(dir, { operation: 'echo', params: { text: name } }, {}),
    { result: { text: name } },
    name,
  );
}

const request = (operation: string, params: unknown = {}, version: unknown = 1) =>
  frame('J', JSON.stringify({ version, operation, params }));

t.test('what is no conversation', async t => {
  const stage = await Stage.open(t);
  const rows: [name: string, bytes: Buffer, answer: RegExp | null][] = [
    ['nothing', Buffer.alloc(0), null],
    ['half a header', Buffer.from([0, 0]), null],
    ['a frame that does not end', frame('J', '{"version":1', 100), null],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n'), null],
    ['zeros', Buffer.alloc(1000), null],
    ['a message that is too long', frame('J', '{}', 2 ** 20 + 1), null],
    ['data that is too long', frame('D', '', 2 ** 32 - 1), null],
    ['data before a request', frame('D', 'data'), /begins with a request/],
    ['no JSON', frame('J', '{"version":'), null],
    ['an empty message', frame('J', ''), null],
    ['a list', frame('J', '[1]'), /begins with a request/],
    ['null', frame('J', 'null'), /begins with a request/],
    ['no operation', frame('J', '{"version":1,"params":{}}'), /begins with a request/],
    ['another version', request('echo', { text: 'a' }, 2), /protocol 1, not 2/],
    ['no version', request('echo', { text: 'a' }, null), /protocol 1, not null/],
    ['a name of Object', request('__proto__'), /knows no operation/],
    ['parameters that are a list', request('echo', ['text']), /parameter text/],
    ['JSON as deep as it gets', frame('J', '['.repeat(500_000)), null],
  ];
  for (const [name, bytes, answer] of rows) {
    const socket = await stage.raw();
    socket.end(bytes);
    const said = (await untilClosed(socket)).toString();
    if (answer !== null) t.match(said, answer, name);
    else t.equal(said, '', `${name}: no answer`);
    await works(t, stage, `after ${name}`);
  }
  t.same(
    stage.subject.log.filter(line => !line.startsWith('echo after')),
    [],
    'nothing has run',
  );
  t.same(stage.subject.defects, []);
});

t.test('nonsense after a request ends the operation', async t => {
  const stage = await Stage.open(t);
  for (const [name, bytes] of [
    ['data', frame('D', 'data')],
    ['garbage', Buffer.from('garbage')],
    ['cancel', frame('J', '{"cancel":true}')],
  ] as const) {
    const socket = await stage.raw();
    socket.write(request('serve'));
    while (stage.subject.log.at(-1) !== 'serve: live') await stage.subject.next();
    const over = stage.subject.next();
    socket.write(bytes);
    t.equal(await over, 'serve: over', name);
    socket.destroy();
  }
  const socket = await stage.raw();
  const over = stage.subject.next();
  socket.end(Buffer.concat([request('take'), frame('D', 'abc'), frame('D', 'cut off', 100)]));
  t.equal(await over, 'take: ECONNRESET', 'input that is cut');
  t.same(stage.subject.received.map(String), ['abc']);
  socket.destroy();
  await works(t, stage, 'afterwards');
  t.same(stage.subject.defects, []);
});

t.test('random bytes, cut anywhere', async t => {
  const seed = Number(process.env.LAMINA_SEED ?? Date.now() % 1_000_000);
  t.comment(`LAMINA_SEED=${seed}`);
  const random = generator(seed);
  const stage = await Stage.open(t);
  const parts = [
    () => request('echo', { text: 'fuzz' }),
    () => request('take'),
    () => request('serve'),
    () => request('count', { bytes: 1 << 20 }),
    () => frame('D', Buffer.alloc(random(5000), random(256))),
    () => frame('J', '{"end":true}'),
    () => frame('J', '{"cancel":true}'),
    () => Buffer.from(Array.from({ length: random(40) }, () => random(256))),
    () => frame('J', Buffer.from(Array.from({ length: random(40) }, () => random(256)))),
  ];
  const one = async (): Promise<void> => {
    const socket = await stage.raw();
    socket.resume();
    const bytes = Buffer.concat(Array.from({ length: 1 + random(6) }, () => parts[random(parts.length)]!()));
    for (let i = random(3); i > 0 && bytes.length > 0; i--) bytes[random(bytes.length)] = random(256);
    const at = random(bytes.length + 1);
    socket.write(bytes.subarray(0, at));
    if (random(2) === 0) socket.end(bytes.subarray(at));
    else socket.destroy();
    if (!socket.closed) await once(socket, 'close');
  };
  for (let round = 0; round < 60; round++) await Promise.all(Array.from({ length: 20 }, one));
  await works(t, stage, 'after 1200 of them');
  await stage.server.value?.idle();
  t.same(stage.subject.defects, []);
});
