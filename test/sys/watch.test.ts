// watchReadable: called while there is something to read, until stopped; microtasks run; nothing is left behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { close, native, socketpair, watchReadable } from '../../src/sys/index.js';
import { ADDON, descriptors } from './scratch.js';

interface Tap {
  teardown(fn: () => void): void;
}

/** A descriptor to watch, and a process that writes `count` bytes into it, one when told so. */
function wire(t: Tap): { fd: number; write: (text: string) => void; read: () => string } {
  const out = new Int32Array(2);
  socketpair(out);
  const [fd, far] = [out[0]!, out[1]!];
  t.teardown(() => {
    close(fd);
    close(far);
  });
  const buffer = Buffer.alloc(1);
  const ends = Int32Array.of(1);
  return {
    fd,
    write: text => {
      buffer.write(text, 'latin1');
      native.fuseWrite(far, buffer, ends, 1, new Int32Array(1));
    },
    // fuseRead is a plain read of whatever descriptor it is given, a byte at a time here.
    read: () => {
      const into = Buffer.alloc(1);
      return native.fuseRead(fd, into, new Int32Array(2), 1, 0) === 1 ? into.toString('latin1') : '';
    },
  };
}

t.test('level-triggered, with microtasks between the calls', async t => {
  const { fd, write, read } = wire(t);
  const events: string[] = [];
  write('a');
  write('b');
  await new Promise<void>(done => {
    const watch = watchReadable(fd, status => {
      events.push(`call ${status}`);
      void Promise.resolve().then(() => {
        events.push(`read ${read()}`);
        if (events.length === 4) {
          watch.stop();
          done();
        }
      });
    });
  });
  t.strictSame(events, ['call 0', 'read a', 'call 0', 'read b']);
});

t.test('stopped: not called again, twice is once, from within the call too', async t => {
  const { fd, write } = wire(t);
  let calls = 0;
  const stopped = new Promise<void>(done => {
    const watch = watchReadable(fd, () => {
      calls++;
      watch.stop();
      watch.stop();
      done();
    });
  });
  write('a');
  await stopped;
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  t.equal(calls, 1);
  const quiet = watchReadable(fd, () => t.fail('a stopped watch was called'));
  quiet.stop();
  await new Promise(setImmediate);
});

t.test('what cannot be watched', async t => {
  const before = descriptors();
  t.throws(() => watchReadable(-1, () => {}), { code: 'EBADF' });
  t.throws(() => watchReadable(999_999, () => {}), { code: 'EBADF' });
  const file = native.openat2(-100, process.execPath, 0, 0, 0);
  t.throws(() => watchReadable(file, () => {}), { code: 'EPERM' }, 'a regular file is always ready');
  close(file);
  t.throws(() => watchReadable(0, 'wake' as unknown as () => void), { code: 'ERR_INVALID_ARG_TYPE' });
  await new Promise(setImmediate);
  t.equal(descriptors(), before);
});

t.test('an exception from the callback is an uncaught one', async t => {
  const script = `
    const n = require(${JSON.stringify(ADDON)});
    process.on('uncaughtException', error => { console.log(error.message); process.exit(7); });
    const pair = new Int32Array(2);
    n.socketpair(pair);
    n.close(pair[1]);
    n.watchReadable(pair[0], () => { throw new Error('from wake'); });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [printed, [code]] = await Promise.all([child.stdout.toArray(), once(child, 'exit')]);
  t.equal(printed.join('').trim(), 'from wake');
  t.equal(code, 7);
});

t.test('a watch keeps its process alive, and a stopped one does not', async t => {
  const script = `
    const n = require(${JSON.stringify(ADDON)});
    const pair = new Int32Array(2);
    n.socketpair(pair);
    const watch = n.watchReadable(pair[0], () => { console.log('woken'); watch.stop(); });
    setImmediate(() => n.close(pair[1]));`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [printed, [code]] = await Promise.all([child.stdout.toArray(), once(child, 'exit')]);
  t.equal(printed.join('').trim(), 'woken');
  t.equal(code, 0);
});

t.test('a worker thread ends with watches and jobs under way', async t => {
  const script = `
    const { parentPort } = require('node:worker_threads');
    const n = require(${JSON.stringify(ADDON)});
    const pair = new Int32Array(2);
    n.socketpair(pair);
    n.watchReadable(pair[0], () => {});
    for (let i = 0; i < 40; i++) n.preadAsync(n.openat2(-100, process.execPath, 0, 0, 0), Buffer.alloc(1 << 22), 0, 1 << 22, 0);
    parentPort.postMessage('ready');`;
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(script, { eval: true });
    await once(worker, 'message');
    t.equal(await worker.terminate(), 1);
  }
});
