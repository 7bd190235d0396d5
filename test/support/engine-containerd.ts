// containerd with `lamina serve` as a snapshotter, beside its own overlayfs: own root, state and sockets below a scratch
// directory, Debian's binaries. Whatever runs in it when the test ends is killed by the process ids that it has noted.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import type { Scratch } from './cleanup.js';
import { sh, waitGone } from './daemon.js';
import { needs } from './needs.js';

needs('mount', 'containerd', 'ctr', 'containerd-shim-runc-v2', 'runc', 'busybox');

export interface Containerd {
  /** Where `lamina serve --containerd` has to listen. */
  readonly socket: string;
  /**
   * Runs a bash script in the scratch directory, in which `ctr` is this containerd's client, S the snapshotter `lamina` (or
   * `overlayfs`), and `run` and `snapshots` are its commands with that; what it prints.
   */
  sh(script: string, snapshotter?: Snapshotter): string;
  /** Ends containerd; its containers go on. */
  stop(signal: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
}

export type Snapshotter = 'lamina' | 'overlayfs';

/** Where its shims keep runc's state, for all containerds of a machine. */
const RUNC = '/run/containerd/runc';

const PRELUDE = `
ctr() { command ctr -a "$PWD/c.sock" -n "$NAMESPACE" "$@"; }
run() { ctr run --snapshotter $S "$@"; }
snapshots() { ctr snapshots --snapshotter $S "$@"; }
`;

interface Teardown {
  teardown(task: () => Promise<void>): void;
}

/** Starts containerd in `s`. */
export async function startContainerd(t: Teardown, s: Scratch): Promise<Containerd> {
  const socket = s.path('run/snapshots.sock');
  s.write(
    'config.toml',
    `version = 2
root = "${s.path('root')}"
state = "${s.path('state')}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${s.path('c.sock')}"
[ttrpc]
  address = "${s.path('c.sock.ttrpc')}"
[proxy_plugins]
  [proxy_plugins.lamina]
    type = "snapshot"
    address = "${socket}"
`,
  );
  // Names of containers meet those of others in runc's directory and in cgroups.
  const namespace = basename(s.dir);
  let running: ChildProcess | null = null;
  const containerd: Containerd = {
    socket,
    sh: (script, snapshotter = 'lamina') =>
      sh(`${PRELUDE}${script}`, {
        cwd: s.dir,
        env: { S: snapshotter, NAMESPACE: namespace },
        timeout: 300_000,
      }),
    async stop(signal) {
      if (running === null) return;
      const ended = once(running, 'close');
      running.kill(signal);
      running = null;
      await ended;
    },
    async start() {
      running = await boot(s.path('config.toml'));
    },
  };
  await containerd.start();
  t.teardown(() => containerd.stop('SIGKILL'));
  // Before mounts are looked for: containers have them too.
  s.defer(() => endTasks(s.path('c.sock'), namespace));
  return containerd;
}

async function boot(config: string): Promise<ChildProcess> {
  const child = spawn('containerd', ['-c', config, '-l', 'info'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr! }).on('line', line => {
      said.push(line);
      if (line.includes('containerd successfully booted')) resolve();
    });
    child.on('error', reject);
    child.on('close', () => reject(new Error(`containerd ended: ${said.slice(-5).join('\n')}`)));
  });
  return child;
}

/** Ends the containers of a name space, and the shims of the containerd at `address`. */
function endTasks(address: string, namespace: string): void {
  const state = `${RUNC}/${namespace}`;
  if (existsSync(state)) {
    for (const id of readdirSync(state)) sh(`runc --root ${state} delete --force ${id}`);
    rmSync(state, { recursive: true });
  }
  sh(`find /sys/fs/cgroup -depth -maxdepth 3 -type d -path '*/${namespace}*' -exec rmdir '{}' ';'`);
  for (const name of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(name)) continue;
    const words = readProcess(name, 'cmdline').split('\0');
    if (!words[0]?.endsWith('containerd-shim-runc-v2') || !words.includes(address)) continue;
    process.kill(Number(name), 'SIGKILL');
    waitGone(Number(name));
  }
}

/** A file of a process, or nothing when that has ended. */
function readProcess(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return '';
    throw error;
  }
}
