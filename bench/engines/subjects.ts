// Engines with their storage: dockerd with overlay2 and with lamina (union and thin), containerd with overlayfs and with
// lamina, Podman with kernel overlayfs, fuse-overlayfs and lamina. Each has a directory of its own on the bench's disk.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { unmountBelow } from '../place.js';
import { bash, type Env, MAIN, succeeds, TOP } from '../shell.js';
import { Daemons } from './daemons.js';

export type Family = 'docker' | 'containerd' | 'podman';

/** What an engine needs on the machine, and the packages that have it. */
export const FAMILIES: Record<Family, { programs: readonly string[]; packages: string }> = {
  docker: { programs: ['dockerd', 'docker', 'containerd', 'runc'], packages: 'docker.io' },
  containerd: { programs: ['containerd', 'ctr', 'runc'], packages: 'containerd runc' },
  podman: { programs: ['podman', 'runc'], packages: 'podman runc' },
};

/** The storage that each is measured on. */
export const STORAGE: Record<Family, readonly string[]> = {
  docker: ['overlayfs', 'lamina', 'lamina-thin'],
  containerd: ['overlayfs', 'lamina'],
  podman: ['overlayfs', 'fuse-overlayfs', 'lamina'],
};

/** An engine that runs. */
export interface Engine {
  /** Runs a script of the family's workloads: $E is the engine's client, with all flags that it needs. */
  run(script: string, env?: Env): Promise<string>;
  /** The process that serves the layers, if that is a daemon of its own. */
  readonly storage: number | null;
  stop(): Promise<void>;
}

/** An engine on the storage of one of the suite's subjects. */
export interface EngineKind {
  readonly family: Family;
  readonly subject: string;
  start(dir: string): Promise<Engine>;
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

/** Starts the engine's own daemon; when it does not start, nothing that was started for it stays. */
async function started(daemons: Daemons, program: string, args: string[], log: string, ask: string) {
  try {
    await daemons.start(program, args, log, () => succeeds(ask));
  } catch (error) {
    await daemons.stop();
    throw error;
  }
}

/** A limit that a container may have here, whatever the machine allows. */
const ULIMITS = '--ulimit nofile=1024:1024 --ulimit nproc=1024:1024';

function docker(subject: string, driver: 'overlay2' | Backend): EngineKind {
  const start = async (dir: string): Promise<Engine> => {
    const daemons = new Daemons();
    const plugin = `lamina-bench-${process.pid}-${driver}`;
    const own = driver !== 'overlay2';
    const storage = own
      ? await laminaServe(daemons, dir, driver, 'docker', `/run/docker/plugins/${plugin}.sock`)
      : null;
    const args = `--experimental -s ${own ? plugin : driver} --data-root ${dir}/root --exec-root ${dir}/exec -H unix://${dir}/docker.sock --iptables=false --bridge=none --pidfile ${dir}/pid`;
    const client = `/usr/bin/docker -H unix://${dir}/docker.sock`;
    await started(daemons, 'dockerd', args.split(' '), `${dir}/dockerd.log`, `${client} info`);
    return {
      storage,
      run: (script, env) => bash(script, { cwd: dir, env: { E: client, DOCKER_BUILDKIT: '0', ...env } }),
      async stop() {
        await daemons.stop();
        await bash(`! mountpoint -q ${dir}/root || umount ${dir}/root`);
      },
    };
  };
  return { subject, family: 'docker', start };
}

function containerd(subject: string, own: boolean): EngineKind {
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
    const args = ['-c', `${dir}/config.toml`];
    await started(daemons, 'containerd', args, `${dir}/containerd.log`, `${client} version`);
    return {
      storage,
      run: (script, env) =>
        bash(script, { cwd: dir, env: { E: client, S: own ? 'lamina' : 'overlayfs', ...env } }),
      stop: () => daemons.stop(),
    };
  };
  return { subject, family: 'containerd', start };
}

function podman(subject: string, program: string | null): EngineKind {
  const start = async (dir: string): Promise<Engine> => {
    const mount = program === null ? '' : `--storage-opt overlay.mount_program=${program}`;
    // Podman wants a short path for it.
    const runroot = mkdtempSync('/run/lamina-b-');
    const client = `podman --root ${dir}/root --runroot ${runroot} --tmpdir ${dir}/tmp --storage-driver overlay ${mount} --events-backend file --cgroup-manager cgroupfs --runtime runc`;
    return {
      storage: null,
      run: (script, env) => bash(script, { cwd: dir, env: { E: client, U: ULIMITS, ...env } }),
      async stop() {
        unmountBelow(`${dir}/root`);
        unmountBelow(runroot);
        rmSync(runroot, { recursive: true });
      },
    };
  };
  return { subject, family: 'podman', start };
}

/** Every engine on every storage. */
export function engineKinds(): EngineKind[] {
  return [
    docker('overlayfs', 'overlay2'),
    docker('lamina', 'union'),
    docker('lamina-thin', 'thin'),
    containerd('overlayfs', false),
    containerd('lamina', true),
    podman('overlayfs', null),
    podman('fuse-overlayfs', '/usr/bin/fuse-overlayfs'),
    podman('lamina', `${TOP}/build/Release/lamina-mount`),
  ];
}
