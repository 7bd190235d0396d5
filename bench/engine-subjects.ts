// Engines with their storage: dockerd with overlay2 and with lamina (union and thin), containerd with overlayfs and with
// lamina, Podman with kernel overlayfs, fuse-overlayfs and lamina. Each has a directory of its own on the bench's disk.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sh } from './subjects.js';

const MAIN = resolve(process.env.LAMINA_MAIN ?? 'dist/cli/main.js');
/** Seconds that a daemon may take to start. */
const PATIENCE = 30;

export type Family = 'docker' | 'containerd' | 'podman';

/** An engine that runs. */
export interface Engine {
  /** Runs a script of the family's workloads: $E is the engine's client, with all flags that it needs. */
  run(script: string, env?: Record<string, string>): string;
  /** The process that serves the layers, if that is a daemon of its own. */
  readonly storage: number | null;
  stop(): Promise<void>;
}

export interface EngineSubject {
  readonly name: string;
  readonly family: Family;
  /** The subject that others of its family are compared with. */
  readonly base: boolean;
  start(dir: string): Promise<Engine>;
}

class Daemons {
  private readonly running: { child: ChildProcess; ended: Promise<unknown> }[] = [];

  /** Starts a daemon and waits until `ready` says so. Its output is in `log`. */
  async start(command: string, args: readonly string[], log: string, ready: () => boolean): Promise<number> {
    const child = spawn('bash', ['-c', 'exec "$@" >"$0" 2>&1', log, command, ...args], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    this.running.push({ child, ended });
    // What tells all daemons' readiness alike is that their client gets an answer.
    for (const until = performance.now() + PATIENCE * 1000; !ready(); await sleep(50)) {
      if (child.exitCode !== null || performance.now() > until) throw new Error(`${command}: see ${log}`);
    }
    return child.pid!;
  }

  async stop(): Promise<void> {
    for (const { child, ended } of this.running.reverse()) {
      child.kill('SIGTERM');
      await ended;
    }
  }
}

function succeeds(script: string): boolean {
  try {
    sh(script);
    return true;
  } catch {
    return false;
  }
}

type Backend = 'union' | 'thin';

async function laminaServe(
  daemons: Daemons,
  dir: string,
  backend: Backend,
  protocol: string,
  socket: string,
): Promise<number> {
  const args = [MAIN, 'serve', '--root', `${dir}/store`, '--backend', backend, `--${protocol}`, socket];
  return daemons.start(process.execPath, args, `${dir}/lamina.log`, () => existsSync(socket));
}

function docker(name: string, driver: 'overlay2' | Backend): EngineSubject {
  const start = async (dir: string): Promise<Engine> => {
    const daemons = new Daemons();
    const plugin = `lamina-bench-${process.pid}-${driver}`;
    const own = driver !== 'overlay2';
    const storage = own
      ? await laminaServe(daemons, dir, driver, 'docker', `/run/docker/plugins/${plugin}.sock`)
      : null;
    const args = `--experimental -s ${own ? plugin : driver} --data-root ${dir}/root --exec-root ${dir}/exec -H unix://${dir}/docker.sock --iptables=false --bridge=none --pidfile ${dir}/pid`;
    const client = `/usr/bin/docker -H unix://${dir}/docker.sock`;
    await daemons.start('dockerd', args.split(' '), `${dir}/dockerd.log`, () => succeeds(`${client} info`));
    return {
      storage,
      run: (script, env) => sh(script, dir, { E: client, DOCKER_BUILDKIT: '0', ...env }),
      async stop() {
        await daemons.stop();
        sh(`! mountpoint -q ${dir}/root || umount ${dir}/root`);
      },
    };
  };
  return { name, family: 'docker', base: driver === 'overlay2', start };
}

function containerd(name: string, own: boolean): EngineSubject {
  const start = async (dir: string): Promise<Engine> => {
    const daemons = new Daemons();
    const socket = `${dir}/lamina.sock`;
    const storage = own ? await laminaServe(daemons, dir, 'union', 'containerd', socket) : null;
    const proxy = `[proxy_plugins]\n[proxy_plugins.lamina]\ntype = "snapshot"\naddress = "${socket}"\n`;
    writeFileSync(
      `${dir}/config.toml`,
      `version = 2\nroot = "${dir}/root"\nstate = "${dir}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]\naddress = "${dir}/c.sock"\n[ttrpc]\naddress = "${dir}/c.sock.ttrpc"\n${own ? proxy : ''}`,
    );
    const client = `ctr -a ${dir}/c.sock -n bench`;
    const ready = () => succeeds(`${client} version`);
    await daemons.start('containerd', ['-c', `${dir}/config.toml`], `${dir}/containerd.log`, ready);
    return {
      storage,
      run: (script, env) => sh(script, dir, { E: client, S: own ? 'lamina' : 'overlayfs', ...env }),
      stop: () => daemons.stop(),
    };
  };
  return { name, family: 'containerd', base: !own, start };
}

function podman(name: string, program: string | null): EngineSubject {
  const start = async (dir: string): Promise<Engine> => {
    const mount = program === null ? '' : `--storage-opt overlay.mount_program=${program}`;
    const client = `podman --root ${dir}/root --runroot ${dir}/run --tmpdir ${dir}/tmp --storage-driver overlay ${mount} --events-backend file --cgroup-manager cgroupfs --runtime runc`;
    return {
      storage: null,
      run: (script, env) =>
        sh(script, dir, { E: client, U: '--ulimit nofile=1024:1024 --ulimit nproc=1024:1024', ...env }),
      async stop() {
        sh(`! mountpoint -q ${dir}/root/overlay || umount ${dir}/root/overlay`);
      },
    };
  };
  return { name, family: 'podman', base: program === null, start };
}

/** `lamina` as a program that a path names. */
function laminaProgram(dir: string): string {
  const path = `${dir}/lamina`;
  mkdirSync(dir, { recursive: true });
  writeFileSync(path, `#!/bin/sh\nexec ${process.execPath} ${MAIN} "$@"\n`, { mode: 0o755 });
  return path;
}

export function engineSubjects(dir: string): EngineSubject[] {
  return [
    docker('docker, overlay2', 'overlay2'),
    docker('docker, lamina', 'union'),
    docker('docker, lamina thin', 'thin'),
    containerd('containerd, overlayfs', false),
    containerd('containerd, lamina', true),
    podman('podman, overlay', null),
    podman('podman, fuse-overlayfs', '/usr/bin/fuse-overlayfs'),
    podman('podman, lamina', laminaProgram(`${dir}/bin`)),
  ];
}
