// Docker on laminafs in its other ways of running: containers that outlive dockerd, containers whose root is nobody on the
// host, sizes by default, volumes over restarts, and Docker inside a container on overlay2 on our mount.
import { appendFileSync, chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { baseRootfs, Docker } from '../support/docker-engine.js';
import { checkSound } from '../support/docker-sound.js';
import { needs } from '../support/needs.js';

needs('mount', 'dockerd', 'sqlite3');

const IMPORT = 'tar -C rootfs -c . | $D import - base:1 >/dev/null';
/** What --privileged gives, but for what this machine may not have itself. */
const CAPS = `${['SYS_ADMIN', 'NET_ADMIN', 'SYS_PTRACE'].map(cap => `--cap-add ${cap}`).join(' ')} --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined`;
const RUN = '$D run --rm --network none';

t.test('live-restore: a container and its volume outlive dockerd', async t => {
  const s = scratch(t, 'docker-live');
  baseRootfs(s);
  const docker = await Docker.start(t, s, 'union', { dockerd: ['--live-restore'] });
  await docker.run(`${IMPORT}; $D volume create -d $V -o size=8M vol1
    $D run -d --name cc --network none -v vol1:/vol base:1 sh -c 'trap exit TERM; echo kept >/kept; while true; do date >/vol/now; sleep 0.1; done'
    until $D exec cc test -s /vol/now; do :; done`);
  const pid = await docker.run(`$D inspect -f '{{.State.Pid}}' cc`);
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await docker.stopDaemon(signal);
    await docker.startDaemon();
    t.equal(await docker.run(`$D inspect -f '{{.State.Pid}}' cc`), pid, 'it has not been stopped');
    t.equal(
      await docker.run(`$D exec cc cat /kept; echo ${signal} >in; $D cp in cc:/in; $D exec cc cat /in`),
      `kept\n${signal}\n`,
    );
    t.match(await docker.run('$D diff cc'), /A \/kept/);
  }
  t.match(await docker.run(`$D stop cc; $D start cc >/dev/null; $D exec cc cat /in`), /SIGTERM/);
  // What holds the volume's file system is the kernel: lamina serve comes and goes.
  await docker.stopStorage();
  await docker.startStorage();
  t.match(
    await docker.run(
      `$D restart -t 1 cc; $D exec cc cat /in /vol/now; $D volume inspect -f '{{.Status.Holders}}' vol1`,
    ),
    /SIGTERM\n.*\n1\n/,
  );
  await checkSound(t, docker);
});

t.test('userns-remap: the root of containers is nobody', async t => {
  const s = scratch(t, 'docker-userns');
  baseRootfs(s);
  chmodSync(s.dir, 0o711);
  // Ranges for somebody: the file is the host's.
  for (const file of ['/etc/subuid', '/etc/subgid']) {
    const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
    if (/^daemon:/m.test(before)) continue;
    appendFileSync(file, 'daemon:700000:65536\n');
    s.defer(() => writeFileSync(file, readFileSync(file, 'utf8').replace('daemon:700000:65536\n', '')));
  }
  const docker = await Docker.start(t, s, 'union', {
    dockerd: ['--userns-remap', 'daemon', '--storage-opt', 'lamina.size=24M'],
  });
  await docker.run(IMPORT);
  const seen = await docker.run(`${RUN} base:1 sh -c 'ls -ln /data; echo x >/data/new; id -u; ls -ldn /'`);
  t.match(seen, /12 +34 .*deep/);
  await docker.run(
    `$D run --name cc --network none base:1 sh -c 'echo x >/data/new; chown 5:6 /data/new'; $D commit cc own:1`,
  );
  const upper = (await docker.run(`$D inspect -f '{{.GraphDriver.Data.UpperDir}}' cc`)).trim();
  const { uid, gid } = statSync(`${upper}/data/new`);
  t.ok(uid > 1000 && gid > 1000, `${uid}:${gid} on the host`);
  t.match(
    await docker.run(`${RUN} own:1 ls -ln /data/new; $D export cc | tar -tv --numeric-owner data/new`),
    / 5 +6 [\s\S]* 5\/6 /,
  );
  const full = await docker.run(
    `${RUN} base:1 sh -c 'dd if=/dev/zero of=/file bs=1M count=48 2>/dev/null; wc -c </file'`,
  );
  t.ok(Number(full) > 20e6 && Number(full) <= 24 * 2 ** 20, `${full} bytes by default`);
  await checkSound(t, docker);
});

t.test('Docker inside a container, with overlay2 on our mount', async t => {
  const s = scratch(t, 'docker-inside');
  baseRootfs(s);
  const docker = await Docker.start(t, s, 'union');
  await docker.run(IMPORT);
  const bind = ['/usr', '/lib', '/lib64', '/etc/ssl', '/sbin', '/etc/alternatives']
    .map(dir => `-v ${dir}:${dir}:ro`)
    .join(' ');
  const script = `mkdir -p /run; mount -t tmpfs run /run
    for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do mountpoint -q $dir && mount -o remount,bind,rw $dir; done
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin
    dockerd -s overlay2 --data-root /docker --iptables=false --bridge=none >/log 2>&1 &
    for i in $(seq 300); do docker version >/dev/null 2>&1 && break; sleep 0.1; done
    docker info -f '{{.Driver}}' || cat /log
    tar -C / --exclude=./docker -c ./bin ./data ./etc/passwd | docker import - inner:1 >/dev/null
    printf 'FROM inner:1\\nRUN rm /data/doomed && echo made >/data/made\\n' >/Dockerfile; mkdir /ctx; mv /Dockerfile /ctx
    DOCKER_BUILDKIT=0 docker build -q -t inner:2 /ctx >/dev/null; docker run --rm --network none inner:2 ls /data
    kill %1; wait %1; echo ended $?`;
  const { text } = await docker.try(
    `$D run ${CAPS} --name outer --network none ${bind} base:1 /usr/bin/bash -c "$SCRIPT"`,
    { SCRIPT: script },
  );
  t.match(text, /overlay2\ndeep\ngreeting\nmade\nnumbers\nended 0/, text);
  t.match(await docker.run('$D diff outer'), /A \/docker\/overlay2/);
  await docker.run('$D commit outer outer:1; $D rm outer');
  await checkSound(t, docker);
});

t.test('volumes of every kind over deaths of lamina serve', async t => {
  const s = scratch(t, 'docker-volumes');
  baseRootfs(s);
  const docker = await Docker.start(t, s, 'union');
  await docker.run(`${IMPORT}; $D volume create -d $V plain; $D volume create -d $V -o size=8M image
    $D volume create -d $V -o backend=thin -o size=32M thin`);
  const MOUNTS = '-v plain:/plain -v image:/image -v thin:/thin';
  for (const end of ['SIGKILL', 'SIGTERM'] as const) {
    await docker.run(`$D run -d --name holder --network none ${MOUNTS} base:1 sh -c 'trap exit TERM; for dir in plain image thin; do
        echo ${end} >/$dir/file; done; sync; echo done >/done; while true; do sleep 0.1; done'
      until $D exec holder test -s /done; do :; done`);
    await docker.stopStorage(end);
    await docker.startStorage();
    t.equal(
      await docker.run(`$D rm -f holder; ${RUN} ${MOUNTS} base:1 cat /plain/file /image/file /thin/file`),
      `holder\n${end}\n${end}\n${end}\n`,
    );
  }
  await checkSound(t, docker);
});
