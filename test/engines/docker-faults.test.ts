// Docker on laminafs when things go wrong: processes that are killed at work, in any order of coming back; wrong requests and
// layers. Nothing is lost, nothing leaks, nothing stays stuck.
import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { scratch } from '../support/cleanup.js';
import { baseRootfs, Docker } from '../support/docker-engine.js';
import { checkSound, layerNames, until } from '../support/docker-sound.js';
import { needs } from '../support/needs.js';

needs('mount', 'dockerd', 'sqlite3');

const RUN = '$D run --rm --network none';

/** A dockerd with an image base:1, an image tar big.tar of many files, and a build of several steps in ctx. */
async function stage(t: Test, options = {}): Promise<Docker> {
  const s = scratch(t, 'docker-faults');
  baseRootfs(s);
  const docker = await Docker.start(t, s, 'union', options);
  await docker.run(`tar -C rootfs -c . | $D import - base:1 >/dev/null
    mkdir -p big/files; cd big/files; for i in $(seq 1500); do echo $i >$i; done; head -c 30000000 /dev/urandom >random; cd ../..
    tar -C big -cf big.tar .; mkdir ctx; cp big.tar ctx/
    printf '%s\\n' 'FROM base:1' 'RUN echo 1 >/1' 'ADD big.tar /' 'RUN cat /files/7 >/2' 'RUN rm -r /files' 'CMD cat /1 /2' >ctx/Dockerfile`);
  return docker;
}

interface Work {
  readonly name: string;
  readonly script: string;
  /** It has come as far as it is to come. */
  begun(docker: Docker, before: ReadonlySet<string>): boolean | Promise<boolean>;
  /** After it all it works. */
  readonly again: string;
  readonly check: string;
}

const WORKS: readonly Work[] = [
  {
    name: 'an import',
    script: '$D import big.tar big:1',
    begun: isFilling,
    again: '$D import big.tar big:1',
    check: `$D create --name xx big:1 y; $D cp xx:/files/7 - | tar -xO; $D rm xx; $D rmi big:1`,
  },
  {
    name: 'a build',
    script: '$D build --no-cache -t built:1 ctx',
    begun: (docker, before) => layerNames(docker).filter(name => !before.has(name)).length >= 5,
    again: '$D build --no-cache -t built:1 ctx',
    check: `${RUN} built:1; $D rmi built:1`,
  },
  {
    name: 'a run',
    script: `$D run --name r1 --network none base:1 sh -c 'trap exit TERM; echo kept >/kept; while true; do echo x >>/data/greeting; done'`,
    begun: async docker => (await docker.try('$D exec r1 cat /kept')).status === 0,
    again: '$D restart -t 0 r1; $D exec r1 cat /kept',
    check: `$D rm -f r1`,
  },
];

/** What dies, and in which order it comes back. */
const DEATHS: Record<string, (docker: Docker) => Promise<void>> = {
  async 'lamina serve'(docker) {
    await docker.stopStorage('SIGKILL');
    await docker.startStorage();
  },
  async dockerd(docker) {
    await docker.stopDaemon('SIGKILL');
    await docker.startDaemon();
  },
  async 'both, lamina comes first'(docker) {
    await Promise.all([docker.stopDaemon('SIGKILL'), docker.stopStorage('SIGKILL')]);
    await docker.startStorage();
    await docker.startDaemon();
  },
  async 'both, dockerd comes first'(docker) {
    await Promise.all([docker.stopDaemon('SIGKILL'), docker.stopStorage('SIGKILL')]);
    const daemon = docker.startDaemon();
    await until('dockerd looks for its plugin', () => /plugin|Unable to locate/i.test(docker.logTail()));
    await docker.startStorage();
    await daemon;
  },
};

t.test('kill -9 at work', async t => {
  const docker = await stage(t);
  for (const [who, die] of Object.entries(DEATHS)) {
    for (const { name, script, begun, again, check } of WORKS) {
      await t.test(`${who} in the midst of ${name}`, async t => {
        const before = new Set(layerNames(docker));
        const work = docker.try(script);
        await until('it has begun', () => begun(docker, before));
        await die(docker);
        // Whether it survives depends on what was cut off; it ends.
        await work;
        const second = await docker.try(`set -e; ${again}`);
        t.equal(second.status, 0, `it works again: ${second.text}`);
        const after = await docker.try(`set -e; ${check}`);
        t.equal(after.status, 0, `what was made is whole: ${after.text}`);
        await checkSound(t, docker, true);
      });
    }
  }
});

function isFilling(docker: Docker, before: ReadonlySet<string>): boolean {
  if (layerNames(docker).every(name => before.has(name))) return false;
  const last = Math.max(...readdirSync(`${docker.root}/layers`).map(Number));
  try {
    return readdirSync(`${docker.root}/layers/${last}/fs`).length > 0;
  } catch {
    return false;
  }
}
