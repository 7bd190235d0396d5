// Docker on laminafs and what is wrong: requests that break off, come twice, name what is not there or all come at once; layers
// that are damaged or hostile; a disk that is full. Each is refused with its reason, and nothing is left of it.
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { sh } from '../support/daemon.js';
import { baseRootfs, Docker } from '../support/docker-engine.js';
import { checkSound, layerNames, until } from '../support/docker-sound.js';
import { HOSTILE, makeTar } from '../support/hostile-tars.js';
import { needs } from '../support/needs.js';

needs('mount', 'dockerd', 'sqlite3', 'python3');

type Answer = Record<string, unknown>;

/** Calls a method of the plugin as dockerd does. */
function call(docker: Docker, method: string, body: unknown, agent?: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      socketPath: docker.plugin,
      method: 'POST',
      path: `/${method}`,
      ...(agent && { agent }),
    };
    const sent = request(options, response => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => resolve(JSON.parse(text) as Answer));
    });
    sent.on('error', reject);
    sent.end(body === null ? undefined : `${JSON.stringify(body)}\n`);
  });
}

t.test('wrong requests and layers', async t => {
  const s = scratch(t, 'docker-wrong');
  baseRootfs(s);
  const docker = await Docker.start(t, s, 'union');
  await docker.run('tar -C rootfs -c . | $D import - base:1 >/dev/null');
  const ask = (method: string, body: unknown) => call(docker, method, body);

  await t.test('ids that are unknown, or would be paths', async t => {
    const before = layerNames(docker);
    for (const ID of ['../../x', 'a/b', '..', '.', '/etc', 'A', 'x'.repeat(200), 'a\0b', '-a'])
      for (const method of ['Create', 'CreateReadWrite'])
        t.match((await ask(`GraphDriver.${method}`, { ID })).Err, /is no id of a layer/, `${method} ${ID}`);
    t.match((await ask('GraphDriver.Create', { ID: 'a', Parent: '../x' })).Err, /layer \.\.\/x: no such/);
    for (const method of ['Get', 'Put', 'GetMetadata', 'Diff', 'Changes', 'DiffSize'])
      for (const ID of ['unknown', '../../x'])
        t.match(
          (await ask(`GraphDriver.${method}`, { ID })).Err,
          /layer .*: no such file/,
          `${method} ${ID}`,
        );
    t.same(await ask('GraphDriver.Remove', { ID: 'unknown' }), {}, 'what is not there has been removed');
    t.same(await ask('GraphDriver.Exists', { ID: '../../x' }), { Exists: false });
    t.match((await ask('GraphDriver.ApplyDiff?id=unknown', {})).Err, /layer unknown: no such/);
    for (const Name of ['../x', 'a/b', '.', '', '-x', 'x'.repeat(256)])
      t.match((await ask('VolumeDriver.Create', { Name })).Err, /no name of a volume|no Name/, Name);
    for (const method of ['Get', 'Remove', 'Mount', 'Unmount', 'Path'])
      t.match(
        (await ask(`VolumeDriver.${method}`, { Name: '../x', ID: 'i' })).Err,
        /volume \.\.\/x: no such/,
      );
    t.same(layerNames(docker), before, 'nothing was made');
    await checkSound(t, docker);
  });

  await t.test('a request without its body does nothing', async t => {
    const before = layerNames(docker);
    for (const method of [
      'Create',
      'CreateReadWrite',
      'Remove',
      'Get',
      'Put',
      'Exists',
      'GetMetadata',
      'Changes',
      'DiffSize',
    ])
      t.match((await ask(`GraphDriver.${method}`, null)).Err, /no ID/, method);
    await ask('GraphDriver.Create', { ID: 'empty' });
    t.match((await ask('GraphDriver.ApplyDiff?id=empty&parent=', null)).Err, /is empty/);
    t.match((await ask('GraphDriver.Get', { ID: 'empty' })).Err, /not filled to the end/);
    t.same(await ask('GraphDriver.Remove', { ID: 'empty' }), {});
    t.match((await ask('GraphDriver.Nothing', {})).Err, /no method/);
    t.same(layerNames(docker), before);
  });

  await t.test('options that are unknown', async t => {
    const init = (Opts: unknown) =>
      ask('GraphDriver.Init', { Home: '/x', Opts, UIDMaps: null, GIDMaps: null });
    t.match((await init(['overlay2.size=1G'])).Err, /overlay2\.size=1G: there is only lamina\.size/);
    t.match((await init(['lamina.size=big'])).Err, /lamina\.size="big" is no size/);
    t.same(await init(null), {});
    const run = await docker.try('$D run --rm --network none --storage-opt colour=red base:1 true');
    t.match(run.text, /--storage-opt colour: a container has only size=BYTES/);
    t.match(
      (await ask('GraphDriver.Create', { ID: 'q', StorageOpt: { size: '1G' } })).Err,
      /only for the layer of a container/,
    );
  });

  await t.test('a request that breaks off after its body', async t => {
    for (let i = 0; i < 20; i++) {
      const body = `${JSON.stringify({ ID: `broken${i}` })}\n`;
      const socket = connect(docker.plugin);
      socket.on('error', () => {});
      await new Promise<void>(resolve => {
        socket.write(
          `POST /GraphDriver.Create HTTP/1.1\r\nHost:\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
          () => resolve(),
        );
      });
      socket.destroy();
    }
    await until('all were taken in', async () => {
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => ask('GraphDriver.Exists', { ID: `broken${i}` })),
      );
      return answers.every(({ Exists }) => Exists === true);
    });
    for (let i = 0; i < 20; i++) t.same(await ask('GraphDriver.Remove', { ID: `broken${i}` }), {});
    await checkSound(t, docker);
  });

  await t.test('two hundred requests at once', async t => {
    const agent = new Agent({ keepAlive: true, maxSockets: 250 });
    t.teardown(() => agent.destroy());
    const [parent] = layerNames(docker);
    const all = Array.from({ length: 200 }, (_, i) => `many${i}`);
    const each = (method: string, more = {}) =>
      Promise.all(all.map(ID => call(docker, `GraphDriver.${method}`, { ID, ...more }, agent)));
    t.same(
      await each('CreateReadWrite', { Parent: parent }),
      all.map(() => ({})),
    );
    const dirs = (await each('Get')).map(({ Dir }) => String(Dir));
    t.equal(new Set(dirs).size, 200);
    t.ok(dirs.every(dir => existsSync(`${dir}/data/greeting`)));
    for (const dir of dirs) writeFileSync(`${dir}/data/greeting`, dir);
    t.same(
      await each('Changes', { Parent: parent }),
      all.map(() => ({
        Changes: [
          { Path: '/data', Kind: 0 },
          { Path: '/data/greeting', Kind: 0 },
        ],
      })),
    );
    t.same(
      await each('Put'),
      all.map(() => ({})),
    );
    t.same(
      await each('Remove'),
      all.map(() => ({})),
    );
    await checkSound(t, docker);
  });

  await t.test('damaged and hostile tars', async t => {
    const before = layerNames(docker);
    // dockerd reads along, breaks off, and tries again for a quarter of a minute.
    const damaged = docker.try(
      `tar -C rootfs -c . | (head -c 1500000; head -c 4096 /dev/urandom) | $D import - bad:1`,
    );
    const canary = s.write('canary/secret', 'untouched');
    const outside = statSync(canary).ino;
    for (const { name, refused, entries } of HOSTILE) {
      const tar = makeTar(s, entries(s.path('canary')));
      const { status, text } = await docker.try(`$D import ${tar} hostile:1`);
      t.equal(status !== 0, refused, `${name}: ${text}`);
      t.equal(sh(`cat ${canary}; ls -A ${s.path('canary')}`), 'untouchedsecret\n', name);
      t.equal(statSync(canary).ino, outside);
      t.equal(statSync(canary).nlink, 1);
      await docker.try('$D rmi hostile:1');
    }
    t.not((await damaged).status, 0);
    t.same(layerNames(docker), before, 'nothing is left of them');
    t.notOk(existsSync('/lamina-hostile'), 'nothing at the root of the host');
    t.notOk(readdirSync(s.path('store')).includes('escaped'));
    await checkSound(t, docker);
  });
});

t.test('a full disk', async t => {
  const s = scratch(t, 'docker-full');
  baseRootfs(s);
  sh(
    `truncate -s 64M disk; mkfs.ext4 -q disk; mkdir store; mount -o loop disk store; rmdir store/lost+found
    mkdir big; head -c 100000000 /dev/urandom >big/data; tar -C big -cf big.tar .`,
    { cwd: s.dir },
  );
  const docker = await Docker.start(t, s, 'union');
  const before = layerNames(docker);
  const { text } = await docker.try('$D import big.tar big:1');
  t.match(text, /no space left on device/);
  t.same(layerNames(docker), before, 'the half layer is gone');
  await checkSound(t, docker);
  await docker.run('tar -C rootfs -c . | $D import - base:1');
  const full = await docker.try(
    `$D run --network none --name c1 base:1 sh -c 'dd if=/dev/zero of=/file bs=1M count=100; echo after'`,
  );
  t.match(full.text, /No space left on device/);
  t.match(full.text, /after/);
  // This also waits until what is removed has given its space back: a removal answers before it has.
  await checkSound(t, docker);
  await docker.run('$D run --rm --network none base:1 sh -c "dd if=/dev/zero of=/file bs=1M count=10"');
  await checkSound(t, docker);
  await docker.stopDaemon();
  await docker.stopStorage();
});
