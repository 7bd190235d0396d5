// What must hold of a store and its dockerd whatever has happened: every directory has its row and every row its directory, and
// when all containers are gone nothing is mounted; dockerd has no container that it cannot remove, and none that is dead unless
// somebody was killed (what dockerd was removing when it or its driver died is dead from then on, by dockerd's own rule).
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { mountsBelow } from './cleanup.js';
import type { Docker } from './docker-engine.js';

/** Milliseconds that what another process does may take. */
const PATIENCE = 30_000;

/** Waits until `condition` holds: of what other processes do, nothing tells. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE; !(await condition()); await delay(10))
    if (performance.now() > end) throw new Error(`never: ${what}`);
}

function rows(docker: Docker, sql: string): string[] {
  const { stdout, stderr } = spawnSync('sqlite3', [`${docker.root}/store.db`, sql], { encoding: 'utf8' });
  if (stderr !== '') throw new Error(stderr);
  return stdout.split('\n').filter(Boolean).sort();
}

/** Removes all containers and volumes, and checks; `killed` says that dockerd or its driver was. */
export async function checkSound(t: Test, docker: Docker, killed = false): Promise<void> {
  if (!killed) t.equal(await docker.run(`$D ps -aq --filter status=dead`), '', 'no container is dead');
  const { status, text } = await docker.try(`ids=$($D ps -aq); test -z "$ids" || $D rm -f $ids`);
  t.equal(status, 0, `all containers go: ${text}`);
  t.equal(await docker.run(`$D ps -aq`), '', 'no container is left');
  await docker.run(`ids=$($D volume ls -qf driver=$V); test -z "$ids" || $D volume rm $ids`);
  // The pool's files, if it is open, are no layer's.
  const own = [docker.root, `${docker.root}/disks`];
  t.same(
    mountsBelow(docker.root).filter(point => !own.includes(point)),
    [],
    'no mounts',
  );
  t.same(readdirSync(`${docker.root}/mounts`), [], 'no mount points');
  for (const kind of ['layer', 'volume'])
    t.same(
      readdirSync(`${docker.root}/${kind}s`).sort(),
      rows(docker, `SELECT id FROM ${kind}`),
      `every ${kind} has its row, and every row its ${kind}`,
    );
  t.same(rows(docker, 'SELECT name FROM layer WHERE mounts > 0'), [], 'nobody holds a layer');
  await until('the trash is empty', () => readdirSync(`${docker.root}/trash`).length === 0);
  const defects = docker.serving?.log.filter(line => /"level":(50|"error")/.test(line)) ?? [];
  t.same(defects, [], 'no defects');
}

/** Every layer that the store has, by the name of its engine. */
export function layerNames(docker: Docker): string[] {
  return rows(docker, 'SELECT name FROM layer');
}
