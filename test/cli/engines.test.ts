// `lamina serve` as its administrator sees it: settings and what is wrong with them, readiness, systemd, metrics, the log, the end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { startServe } from '../support/engine-serve.js';
import { needs } from '../support/needs.js';
import { lamina, MAIN, run } from './run.js';

needs('mount', 'python3', 'systemd-analyze', 'systemd-socket-activate');

/** Calls a method of the plugin at `socket`; its status and its answer. */
function call(
  socket: string,
  method: string,
  body: object = {},
): Promise<{ status: number; answer: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: socket, path: `/${method}`, method: 'POST' }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, answer: JSON.parse(text) }));
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}

t.test('settings that cannot be', async t => {
  const s = scratch(t, 'serve');
  let configs = 0;
  const config = (text: string) => ['--config', s.write(`${configs++}/config.json`, text)];
  s.write('full/file', '');
  const socket = ['--docker', s.path('d.sock')];
  const rows: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['nothing to serve', [], /what to serve: give --docker SOCKET, --containerd SOCKET, or both/],
    [
      'an unknown backend',
      [...socket, '--backend', 'zfs'],
      /--backend: must be one of union, thin, not "zfs"/,
    ],
    ['a size of nothing', [...socket, '--default-size', '0'], /--default-size: a layer of no size/],
    ['a size that is none', [...socket, '--default-size', 'big'], /--default-size: "big" is not a size/],
    ['a port that is none', [...socket, '--metrics', '70000'], /--metrics: "70000" is not an address/],
    ['one socket twice', [...socket, '--containerd', s.path('d.sock')], /need two sockets/],
    ['no such file', ['--config', s.path('none')], /--config: ENOENT.*none/],
    ['no JSON', config('{'), /config.json is no JSON/],
    ['no object', config('[]'), /has to hold one JSON object/],
    ['an unknown key', config('{"rooot": "/x"}'), /"rooot" is no setting; there are root, backend/],
    ['a value of a wrong kind', config('{"root": {}}'), /"root" has to be a text or a number/],
    ['a wrong value in the file', config('{"backend": "x"}'), /config.json: backend: /],
    ['a root of something else', [...socket, '--root', s.path('full')], /full is neither empty nor a store/],
    ['no directory for units', [...socket, '--write-units', s.path('none')], /there is no directory .*none/],
    ['a word too many', [...socket, 'x'], /too many arguments/],
  ];
  for (const [what, args, said] of rows) {
    const { status, stdout, stderr } = lamina(['serve', '--root', s.path('root'), ...args]);
    t.match([status, stdout, stderr], [1, '', said], what);
  }
  t.notOk(existsSync(s.path('root/store.db')), 'nothing was made');
});

t.test('ready, metrics, health, log, end', async t => {
  const s = scratch(t, 'serve');
  const docker = s.path('run/docker.sock');
  s.write('config.json', JSON.stringify({ docker, metrics: '0', 'log-level': 'error' }));
  const args = ['--config', s.path('config.json'), '--root', s.path('root'), '--log-level', 'debug'];
  const serving = await startServe(t, args);
  const [plugin, metrics = ''] = serving.addresses;
  t.equal(plugin, `unix://${docker}`);
  t.equal(statSync(docker).mode & 0o777, 0o600);
  t.same(await call(docker, 'Plugin.Activate'), {
    status: 200,
    answer: { Implements: ['GraphDriver', 'VolumeDriver'] },
  });
  t.match(await call(docker, 'GraphDriver.Get', { ID: 'none' }), { status: 200, answer: { Err: /none/ } });
  const text = await (await fetch(metrics)).text();
  t.match(text, /lamina_call_seconds_count\{driver="docker",method="GraphDriver.Get",outcome="error"\} 1/);
  t.match(text, /^lamina_mounts 0$/m);
  const health = await fetch(metrics.replace('/metrics', '/health'));
  t.same([health.status, await health.text()], [200, 'ok\n']);
  t.equal((await fetch(metrics.replace('/metrics', '/other'))).status, 404);
  t.match(lamina(['serve', '--root', s.path('root'), '--docker', s.path('other.sock')]), {
    status: 1,
    stderr: /root is in use by process/,
  });
  t.match(lamina(['serve', '--root', s.path('root2'), '--docker', docker]), {
    status: 1,
    stderr: /listen on '.*docker.sock': EADDRINUSE/,
  });
  t.equal(await serving.end(), 0);
  t.notOk(existsSync(docker));
  const lines = serving.log.map(line => JSON.parse(line) as Record<string, unknown>);
  t.match(
    lines.find(({ msg }) => msg === 'call failed'),
    { driver: 'docker', method: 'GraphDriver.Get', error: /none/ },
  );
  t.match(lines.at(-1), { level: 30, msg: 'ended' });
});

t.test('systemd is told', async t => {
  const s = scratch(t, 'serve');
  const script = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
for _ in range(2): print(s.recv(100).decode(), flush=True)`;
  const receiver = spawn('python3', ['-c', script, s.path('notify')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(receiver, 'close');
  const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
  t.equal((await lines.next()).value, 'bound');
  const args = ['--docker', s.path('d.sock'), '--root', s.path('root')];
  const serving = await startServe(t, args, { env: { NOTIFY_SOCKET: s.path('notify') } });
  t.equal((await lines.next()).value, 'READY=1');
  t.equal(await serving.end(), 0);
  t.equal((await lines.next()).value, 'STOPPING=1');
  await closed;
});

t.test('a socket that systemd listens on', async t => {
  const s = scratch(t, 'serve');
  const socket = s.path('d.sock');
  const words = ['-l', socket, '--fdname=docker', process.execPath, MAIN, 'serve', '--docker', socket];
  const activator = spawn('systemd-socket-activate', [...words, '--root', s.path('root')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH },
  });
  const ended = once(activator, 'close');
  t.teardown(() => activator.kill('SIGKILL'));
  for await (const line of createInterface({ input: activator.stderr }))
    if (line.includes('Listening')) break;
  t.match(
    await call(socket, 'Plugin.Activate'),
    { status: 200 },
    'the first call starts it, and waits for it',
  );
  activator.kill('SIGTERM');
  t.same(await ended, [0, null]);
  t.ok(existsSync(socket), 'the socket is systemd’s');
});

t.test('units', async t => {
  const s = scratch(t, 'serve');
  const units = s.mkdir('units');
  const args = ['--docker', '/run/docker/plugins/x.sock', '--containerd', '/run/lamina/c.sock'];
  const { stdout } = lamina(['serve', ...args, '--default-size', '10G', '--write-units', units]);
  t.same(stdout.trim().split('\n').sort(), [
    `${units}/lamina-containerd.socket`,
    `${units}/lamina-docker.socket`,
    `${units}/lamina.service`,
  ]);
  t.match(run('systemd-analyze', ['verify', `${units}/lamina.service`]), { status: 0, stderr: '' });
  t.match(readFileSync(`${units}/lamina.service`, 'utf8'), /--default-size 10737418240 /);
  writeFileSync(s.path('config.json'), JSON.stringify({ docker: '/run/docker/plugins/x.sock' }));
  lamina(['serve', '--config', s.path('config.json'), '--write-units', units]);
  t.match(readFileSync(`${units}/lamina.service`, 'utf8'), /serve --config \S+config.json\n/);
});
