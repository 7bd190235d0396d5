// `lamina nbd`: what it prints, who can reach the pool meanwhile, and how it ends. The protocol is tested in test/nbd.
import { existsSync, statSync } from 'node:fs';
import t from 'tap';
import { needs } from '../support/needs.js';
import { PoolStage, type Running } from './pool-stage.js';

needs('nbdinfo', 'nbdcopy');

function prepare(stage: PoolStage): void {
  stage.ok('pool', 'create', 'p', '--size', '1G');
  stage.ok('volume', 'create', 'p/a', '--size', '10M');
  stage.ok('volume', 'create', 'p/b c', '--size', '20M');
}

async function serve(stage: PoolStage, ...words: string[]): Promise<Running> {
  const server = stage.start(['nbd', ...words, 'p/a', 'p/b c']);
  await server.says(words.includes('--port') ? /nbd:.*b%20c\n/ : /b%20c/);
  return server;
}

t.test('a unix socket and a port', async t => {
  const stage = new PoolStage(t);
  prepare(stage);
  const server = await serve(stage, '--socket', 's.sock', '--port', '0');
  t.match(
    server.stdout,
    /^ready: nbd\+unix:\/\/\/a\?socket=.*s.sock\nready: nbd:\/\/127.0.0.1:[1-9]\d*\/a\nready: /,
  );
  t.equal(statSync(stage.path('s.sock')).mode & 0o777, 0o600);
  for (const uri of server.stdout.matchAll(/nbd.*/g)) {
    t.equal(
      stage.sh(`nbdinfo --size '${uri[0]}'`).trim(),
      String((uri[0].includes('/a') ? 10 : 20) << 20),
      uri[0],
    );
  }
  t.equal(
    stage.sh("nbdinfo --size 'nbd+unix:///?socket=s.sock'").trim(),
    String(10 << 20),
    'the first is the default',
  );
  stage.sh("head -c 10M /dev/urandom >image; nbdcopy --flush image 'nbd+unix:///a?socket=s.sock'");
  stage.ok('volume', 'snapshot', 'p/a', 'p/s');
  stage.sh("$L volume export p/s - | cmp - image; nbdcopy 'nbd+unix:///a?socket=s.sock' - | cmp - image");
  t.match(stage.ok('volume', 'status', 'p/a', '--since', 'p/s'), /since s +0 bytes/);
  server.child.kill('SIGTERM');
  t.match(await server.ended, { status: 0, stderr: '' });
  t.notOk(existsSync(stage.path('s.sock')));
  t.notOk(existsSync(stage.path('p/control.sock')));
  t.match(stage.ok('pool', 'check', 'p'), /nothing is wrong/);
});

t.test('beside another server of the same pool', async t => {
  const stage = new PoolStage(t);
  prepare(stage);
  const first = await serve(stage, '--socket', 'first.sock');
  const second = await serve(stage, '--socket', 'second.sock');
  stage.sh("head -c 10M /dev/urandom >image; nbdcopy --flush image 'nbd+unix:///a?socket=first.sock'");
  stage.sh("nbdcopy 'nbd+unix:///a?socket=second.sock' - | cmp - image");
  first.child.kill('SIGTERM');
  const third = stage.start(['nbd', '--socket', 'second.sock', 'p/a']);
  t.match(await third.ended, { status: 1, stderr: /second.sock.*EADDRINUSE/ });
  t.equal(
    stage.sh("nbdinfo --size 'nbd+unix:///a?socket=second.sock'").trim(),
    String(10 << 20),
    'who stays is served',
  );
  second.child.kill('SIGTERM');
  t.match(await second.ended, { status: 0, stderr: '' });
  t.match(await first.ended, { status: 0 });
  t.match(first.stderr, /until the other commands that use the pool through this one have finished/);
  for (const name of ['first.sock', 'second.sock', 'p/control.sock'])
    t.notOk(existsSync(stage.path(name)), name);
});
