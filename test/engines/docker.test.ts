// Docker on laminafs: the life of images, containers and volumes, step by step, on every storage and on overlay2 beside them.
// What the user sees is the same.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type Scratch, scratch } from '../support/cleanup.js';
import { baseRootfs, Docker, normalised, type StorageName } from '../support/docker-engine.js';
import { CONTAINERS, IMAGES, OWN_LAYERS, OWN_VOLUMES, type Step, VOLUMES } from '../support/docker-life.js';
import { POSTGRES } from '../support/docker-postgres.js';
import { needs } from '../support/needs.js';

needs('mount', 'dockerd', 'docker-registry');

const STORAGES: readonly StorageName[] = ['overlay2', 'union', 'thin'];

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** A registry on loopback; its port. */
async function startRegistry(t: Test, s: Scratch): Promise<number> {
  const port = await freePort();
  const config = `version: 0.1\nstorage: {filesystem: {rootdirectory: ${s.path('registry')}}}\nhttp: {addr: 127.0.0.1:${port}}\n`;
  const child = spawn('docker-registry', ['serve', s.write('registry.yml', config)], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  t.teardown(async () => {
    child.kill();
    await ended;
  });
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => null);
    if (answer?.ok) return port;
    if (child.exitCode !== null) throw new Error('docker-registry does not start');
    await delay(50);
  }
}

/** Takes one step on all storages at once, and compares. */
async function take(t: Test, step: Step, dockers: readonly Docker[], env: Record<string, string>) {
  const seen = await Promise.all(
    dockers.map(async docker => {
      const { status, text } = await docker.try(`set -o pipefail\n${step.script}`, env);
      const what = `${docker.storage}: ${step.name}`;
      t.equal(
        status !== 0,
        step.fails === true,
        `${what}: status ${status}${status === 0 ? '' : `: ${text}`}`,
      );
      if (step.shows !== undefined) t.match(text, step.shows, what);
      return normalised(text, docker);
    }),
  );
  if (step.differs) return;
  for (const [i, text] of seen.entries())
    if (i > 0)
      t.equal(text, seen[0], `${step.name}: ${dockers[i]!.storage} shows what ${dockers[0]!.storage} does`);
}

t.test('the life of images, containers and volumes', async t => {
  const all = scratch(t, 'docker');
  const env = { PORT: String(await startRegistry(t, all)), PGOPTS: '' };
  const dockers = await Promise.all(
    STORAGES.map(async storage => {
      const s = scratch(t, `docker-${storage}`);
      baseRootfs(s);
      // Of the thin backend a layer is a file system of its own, and this is the least that one can have.
      const serve = storage === 'thin' ? ['--thin-base-size', '300M'] : [];
      return Docker.start(t, s, storage, { serve });
    }),
  );
  for (const step of [...IMAGES, ...CONTAINERS, ...VOLUMES, ...POSTGRES]) {
    await t.test(step.name, t => take(t, step, dockers, env));
  }
  const own = dockers.filter(({ storage }) => storage !== 'overlay2');
  for (const step of [...OWN_LAYERS, ...OWN_VOLUMES]) await t.test(step.name, t => take(t, step, own, env));
  for (const docker of dockers) {
    await docker.stopDaemon();
    await docker.stopStorage();
  }
});
