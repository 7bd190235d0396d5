// containerd on laminafs: real containerd, ctr, runc and registry, images from nothing, real containers.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { mountsBelow, type Scratch, scratch } from '../support/cleanup.js';
import { waitGone, waitUntil } from '../support/daemon.js';
import { type Containerd, type Snapshotter, startContainerd } from '../support/engine-containerd.js';
import { BUSYBOX, makeImage } from '../support/engine-image.js';
import { type Serving, startServe } from '../support/engine-serve.js';
import { needs } from '../support/needs.js';
import { LAYERS, REFERENCE, STEPS } from './containerd-steps.js';

needs('mount', 'docker-registry', 'setcap', 'setfattr');

const SMALL = 'docker.io/t/small:1';

interface Site {
  readonly s: Scratch;
  readonly containerd: Containerd;
  /** Starts `lamina serve`; resolves when containerd has found it. */
  serve(): Promise<Serving>;
}

async function site(t: Test): Promise<Site> {
  const s = scratch(t, 'containerd');
  const containerd = await startContainerd(t, s);
  const args = ['--root', s.path('lamina'), '--containerd', containerd.socket, '--log-level', 'warn'];
  const serve = async () => {
    const serving = await startServe(t, args);
    // containerd tries one that was not there again after a while, and does not say when.
    const probe = 'if snapshots prepare probe 2>/dev/null; then snapshots rm probe; echo found; fi';
    waitUntil(() => containerd.sh(probe) !== '', 'a try of containerd');
    return serving;
  };
  return { s, containerd, serve };
}

/** What `lamina serve` keeps, once what was removed has been taken apart. */
function kept(s: Scratch): { layers: string[]; trash: string[]; mounts: string[] } {
  return {
    layers: readdirSync(s.path('lamina/layers')),
    trash: readdirSync(s.path('lamina/trash')),
    mounts: mountsBelow(s.path('lamina')),
  };
}

const NOTHING = { layers: [], trash: [], mounts: [] };

/** A registry on a port of its own choice; its address. */
async function startRegistry(t: Test, s: Scratch): Promise<string> {
  const config = `version: 0.1
log: {level: info, formatter: json}
storage: {filesystem: {rootdirectory: ${s.mkdir('registry')}}}
http: {addr: "127.0.0.1:0"}
`;
  const child: ChildProcess = spawn('docker-registry', ['serve', s.write('registry.yml', config)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const lines = createInterface({ input: child.stderr! });
  for await (const line of lines) {
    const port = /listening on 127\.0\.0\.1:([0-9]+)/.exec(line)?.[1];
    if (port !== undefined) return `127.0.0.1:${port}`;
  }
  throw new Error('docker-registry ended');
}

t.test('the life of an image and of containers, beside overlayfs', async t => {
  const { s, containerd, serve } = await site(t);
  const serving = await serve();
  const image = makeImage(s, REFERENCE, [BUSYBOX, ...LAYERS]);
  const registry = await startRegistry(t, s);
  const outputs = new Map<Snapshotter, string[]>();
  for (const snapshotter of ['lamina', 'overlayfs'] as const) {
    const said = STEPS.map(({ run }) =>
      containerd
        .sh(`export TAR=${image} REGISTRY=${registry}\n${run}`, snapshotter)
        .replaceAll(snapshotter, 'SNAPSHOTTER'),
    );
    outputs.set(snapshotter, said);
  }
  for (const [i, { name, says = /^/ }] of STEPS.entries()) {
    const lamina = outputs.get('lamina')![i]!;
    t.match(lamina, says, name);
    t.same(lamina.split('\n'), outputs.get('overlayfs')![i]!.split('\n'), `${name}: as on overlayfs`);
  }
  t.same(kept(s), NOTHING);
  t.same(serving.log, [], 'nothing to complain about');
  t.equal(await serving.end(), 0);
});

t.test('imports at the same time, while garbage is collected', async t => {
  const { s, containerd, serve } = await site(t);
  const serving = await serve();
  const names = [1, 2, 3, 4, 5];
  for (const i of names)
    makeImage(s, `docker.io/t/i:${i}`, [
      BUSYBOX,
      `mkdir d; seq 1000 | (cd d; xargs touch); echo ${i} >which`,
    ]);
  const small = makeImage(s, SMALL, ['echo x >x']);
  containerd.sh(`
    ctr leases create --id mine >/dev/null
    for tar in image-*.tar; do test $PWD/$tar = ${small} || ctr images import --snapshotter $S $tar >$tar.log 2>&1 & done
    for i in 1 2 3; do ctr images import --snapshotter $S ${small} >/dev/null; ctr images rm --sync ${SMALL} >/dev/null; done
    for job in $(jobs -p); do wait $job; done`);
  for (const i of names)
    t.equal(
      containerd.sh(`run --rm docker.io/t/i:${i} c${i} sh -c 'cat /which; ls /d | wc -l'`),
      `${i}\n1000\n`,
    );
  // The base is there once.
  t.equal(containerd.sh('snapshots ls | grep -c Committed'), `${1 + names.length}\n`);
  containerd.sh('ctr leases rm mine; ctr images rm --sync $(ctr images ls -q)');
  t.same(kept(s), NOTHING);
  t.same(serving.log, []);
});

/** What /file of the container c holds once it has so many lines; each start of it adds one. */
const fileOf = (id: string, lines: number) =>
  `ctr task exec --exec-id ${id} c sh -c 'while test $(wc -l </file) -lt ${lines}; do :; done; cat /file'`;

t.test('lamina serve dies under a running container', async t => {
  const { s, containerd, serve } = await site(t);
  let serving = await serve();
  containerd.sh(`ctr images import --snapshotter $S ${makeImage(s, SMALL, [BUSYBOX, 'echo l >l'])}`);
  containerd.sh(`run -d ${SMALL} c sh -c 'echo one >>/file; exec sleep 1000'`);
  t.equal(containerd.sh(fileOf('z', 1)), 'one\n');
  await serving.end('SIGKILL');
  t.throws(() => containerd.sh('ctr task exec --exec-id a c cat /l'), 'its files have gone');
  serving = await serve();
  containerd.sh('ctr task rm -f c; ctr task start -d c');
  t.equal(containerd.sh(fileOf('b', 2)), 'one\none\n', 'and are back');
  t.equal(await serving.end(), 0, 'a container does not keep it from ending');
  serving = await serve();
  containerd.sh('ctr task rm -f c; ctr task start -d c');
  await containerd.stop('SIGKILL');
  await containerd.start();
  t.equal(containerd.sh(fileOf('d', 3)), 'one\none\none\n', 'containerd was replaced');
  containerd.sh(`ctr task rm -f c; ctr containers rm c; ctr images rm --sync ${SMALL}`);
  t.same(kept(s), NOTHING);
});

t.test('both die during an import', async t => {
  const { s, containerd, serve } = await site(t);
  const image = makeImage(s, SMALL, [BUSYBOX, 'mkdir d; cd d; seq 30000 | xargs touch', 'echo l >l']);
  let serving = await serve();
  const importing = containerd.sh(`ctr images import --snapshotter $S ${image} >log 2>&1 & echo $!`);
  waitUntil(() => readdirSync(s.path('lamina/layers')).includes('2'), 'the second layer');
  await Promise.all([containerd.stop('SIGKILL'), serving.end('SIGKILL')]);
  waitGone(Number(importing));
  await containerd.start();
  serving = await serve();
  containerd.sh(`ctr images import --snapshotter $S ${image}`);
  t.equal(containerd.sh(`run --rm ${SMALL} c sh -c 'ls /d | wc -l; cat /l'`), '30000\nl\n');
  containerd.sh(`ctr images rm ${SMALL}; for id in $(ctr leases ls -q); do ctr leases rm --sync $id; done`);
  t.same(kept(s), NOTHING);
});

t.test('a container with a size, and one in a user namespace', async t => {
  const { s, containerd, serve } = await site(t);
  // The namespace's root has to come by.
  chmodSync(s.dir, 0o711);
  const serving = await serve();
  containerd.sh(
    `ctr images import --snapshotter $S ${makeImage(s, SMALL, [BUSYBOX, 'echo l >l; chown 5:6 l; chmod 600 l'])}`,
  );
  const limited = `run --rm --snapshotter-label containerd.io/snapshot/max-size=8388608 ${SMALL} a sh -c`;
  t.equal(
    containerd.sh(
      `${limited} 'df / | tail -n 1 | tr -s " " | cut -d " " -f 2; ! dd if=/dev/zero of=/big bs=1M 2>&1' | grep -v copied`,
    ),
    `8192\ndd: error writing '/big': No space left on device\n8+0 records in\n7+0 records out\n`,
  );
  const ids = '--uidmap 0:100000:65536 --gidmap 0:100000:65536';
  const script = `stat -c "%u:%g" / /l /bin/busybox; cat /l; echo new >/new; stat -c "%u:%g" /new; tail -n +1 /proc/self/uid_map | tr -s " "`;
  const expected = '0:0\n5:6\n0:0\nl\n0:0\n 0 100000 65536\n';
  t.equal(
    containerd.sh(`run --rm ${ids} --remap-labels ${SMALL} b sh -c '${script}'`),
    expected,
    'by labels',
  );
  t.equal(containerd.sh(`run --rm ${ids} ${SMALL} c sh -c '${script}'`), expected, 'by a remapped snapshot');
  t.same(serving.log, []);
});

t.test('containerd is there first', async t => {
  const { s, containerd, serve } = await site(t);
  const image = makeImage(s, SMALL, [BUSYBOX]);
  t.throws(
    () => containerd.sh(`ctr images import --snapshotter $S ${image}`),
    /connection error|Unavailable|no such file/i,
  );
  await serve();
  containerd.sh(`ctr images import --snapshotter $S ${image}`);
  t.equal(containerd.sh(`run --rm ${SMALL} c echo yes`), 'yes\n');
});
