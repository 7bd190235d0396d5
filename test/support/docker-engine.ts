// dockerd for a test, with the layers of a subject (its own overlay2, or `lamina serve`), in directories, sockets and a plugin
// name of its own; started, killed, restarted, and cleaned up when the test ends.
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { mountsBelow, type Scratch } from './cleanup.js';
import { MAIN } from './daemon.js';
import { type Serving, startServe } from './engine-serve.js';
import { needs } from './needs.js';

needs('mount', 'dockerd', 'docker-registry', 'busybox', 'mkfs.ext4');

export type StorageName = 'overlay2' | 'union' | 'thin';

export interface Outcome {
  readonly status: number;
  /** Standard output and standard error, in one. */
  readonly text: string;
}

export interface DockerOptions {
  readonly dockerd?: readonly string[];
  readonly serve?: readonly string[];
}

/** Milliseconds that a script may take. */
const LONGEST = 120_000;

interface Daemon {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
}

/** Seconds that dockerd may take until it answers. */
const PATIENCE = 60;

export class Docker {
  /** What `dockerd -s` and `docker volume create -d` take. */
  readonly driver: string;
  private daemon: Daemon | null = null;
  private containerd: Daemon | null = null;
  serving: Serving | null = null;

  private constructor(
    private readonly t: Test,
    readonly scratch: Scratch,
    readonly storage: StorageName,
    private readonly options: DockerOptions,
  ) {
    this.driver = storage === 'overlay2' ? storage : `lamina-test-${process.pid}-${storage}`;
  }

  /** Starts dockerd below `scratch` over the storage. */
  static async start(
    t: Test,
    scratch: Scratch,
    storage: StorageName,
    options: DockerOptions = {},
  ): Promise<Docker> {
    const docker = new Docker(t, scratch, storage, options);
    scratch.defer(() => docker.clean());
    await docker.startContainerd();
    await docker.startStorage();
    await docker.startDaemon();
    return docker;
  }

  /** The directory of the store. */
  get root(): string {
    return this.scratch.path('store');
  }

  get volumeDriver(): string {
    return this.storage === 'overlay2' ? 'local' : this.driver;
  }

  async startStorage(): Promise<void> {
    if (this.storage === 'overlay2') return;
    const words = ['--root', this.root, '--backend', this.storage, '--docker', this.plugin];
    this.serving = await startServe(this.t, [
      ...words,
      '--log-level',
      'debug',
      ...(this.options.serve ?? []),
    ]);
  }

  /** As on Debian it is a process of its own, which outlives dockerd. */
  private async startContainerd(): Promise<void> {
    const { scratch } = this;
    const [socket, root, state] = [
      scratch.path('c.sock'),
      scratch.path('croot'),
      scratch.path('exec', 'cstate'),
    ];
    const config = `version = 2\nroot = "${root}"\nstate = "${state}"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "${socket}"\n`;
    const child = spawn('containerd', ['-c', scratch.write('containerd.toml', config)], { stdio: 'ignore' });
    this.containerd = { child, ended: once(child, 'exit') };
    for (const until = performance.now() + PATIENCE * 1000; !existsSync(socket); await delay(20))
      if (child.exitCode !== null || performance.now() > until) throw new Error('containerd does not start');
  }

  async startDaemon(): Promise<void> {
    const { scratch } = this;
    const words = ['--experimental', '-s', this.driver, '--data-root', scratch.path('root')];
    words.push('--exec-root', scratch.path('exec'), '-H', this.host, '--pidfile', scratch.path('pid'));
    words.push('--containerd', scratch.path('c.sock'));
    words.push('--iptables=false', '--bridge=none', ...(this.options.dockerd ?? []));
    const child = spawn('dockerd', words, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.pipe(createWriteStream(this.log, { flags: 'a' }));
    this.daemon = { child, ended: once(child, 'exit') };
    // It tells nobody that it is ready but those who ask.
    for (const until = performance.now() + PATIENCE * 1000; ; await delay(50)) {
      if ((await this.try('$D version >/dev/null')).status === 0) return;
      if (child.exitCode !== null || performance.now() > until)
        throw new Error(`dockerd does not start:\n${this.logTail()}`);
    }
  }

  async stopDaemon(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.daemon?.child.kill(signal);
    await this.daemon?.ended;
    this.daemon = null;
  }

  async stopStorage(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.serving?.end(signal);
    this.serving = null;
  }

  /** Runs a bash script; $D is the client, $V the volume driver, $S the scratch directory, $LAMINA the command. */
  try(script: string, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    const all = {
      ...{ D: `/usr/bin/docker -H ${this.host}`, V: this.volumeDriver, S: this.scratch.dir },
      ...{ STORAGE: this.storage, LAMINA: `${process.execPath} ${MAIN}` },
      ...{ PATH: process.env.PATH ?? '', HOME: this.scratch.dir, LC_ALL: 'C', DOCKER_BUILDKIT: '0' },
      ...env,
    };
    const options = { cwd: this.scratch.dir, env: all, maxBuffer: 64 << 20, timeout: LONGEST };
    return new Promise((resolve, reject) => {
      execFile('bash', ['-c', `exec 2>&1\n${script}`], options, (error, stdout) => {
        if (error === null) resolve({ status: 0, text: stdout });
        else if (typeof error.code === 'number') resolve({ status: error.code, text: stdout });
        else reject(new Error(`${script}: ${error.message}\n${stdout}`));
      });
    });
  }

  /** What a script prints that must succeed. */
  async run(script: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const { status, text } = await this.try(`set -eo pipefail\n${script}`, env);
    if (status !== 0) throw new Error(`${script}: ${status}\n${text}\n${this.logTail()}`);
    return text;
  }

  logTail(): string {
    return readFileSync(this.log, 'utf8').split('\n').slice(-15).join('\n');
  }

  private get log(): string {
    return this.scratch.path('dockerd.log');
  }

  private get host(): string {
    return `unix://${this.scratch.path('docker.sock')}`;
  }

  get plugin(): string {
    return `/run/docker/plugins/${this.driver}.sock`;
  }

  /** Nothing of it may outlive the test, whatever has happened. */
  private clean(): void {
    this.daemon?.child.kill('SIGKILL');
    this.containerd?.child.kill('SIGKILL');
    this.serving?.process.kill('SIGKILL');
    rmSync(this.plugin, { force: true });
    // The containers' shims go on without them: they are found by their directory. Containers outlive even their shims.
    for (const pid of this.processes()) {
      spawnSync('pkill', ['-9', '-P', pid]);
      spawnSync('kill', ['-9', pid]);
    }
    for (const point of mountsBelow(this.scratch.dir).reverse()) spawnSync('umount', ['-l', point]);
  }

  /** Processes that were told of the scratch directory. */
  private processes(): string[] {
    const { stdout } = spawnSync('pgrep', ['-f', '--', this.scratch.dir], { encoding: 'utf8' });
    return stdout.split('\n').filter(pid => pid !== '' && pid !== String(process.pid));
  }
}

/** A base image's root file system: busybox, a user, and files to be changed. Made below `s`. */
export function baseRootfs(s: Scratch): string {
  const script = `set -e
mkdir -p rootfs; cd rootfs
mkdir -p bin etc data/deep tmp var/lib proc sys dev root
cp "$(command -v busybox)" bin/busybox
for name in sh cat ls echo mkdir rm mv cp chmod chown ln dd df sleep true test touch find stat sed tail wc sync kill id sort head date; do ln -s busybox bin/$name; done
chmod 1777 tmp
echo root:x:0:0::/root:/bin/sh >etc/passwd
echo root:x:0: >etc/group
echo hello >data/greeting; echo doomed >data/doomed; echo deep >data/deep/file
seq 20000 >data/numbers
chmod 640 data/doomed; chown 12:34 data/deep
find . -exec touch -h -d @1600000000 {} +`;
  const made = spawnSync('bash', ['-c', script], { cwd: s.dir, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  return s.path('rootfs');
}

/** Text with ids, times and names of the subject's own taken out. */
export function normalised(text: string, { scratch, driver, volumeDriver }: Docker): string {
  return (
    text
      .replaceAll(scratch.dir, 'SCRATCH')
      .replaceAll(driver, 'DRIVER')
      .replaceAll(volumeDriver, 'DRIVER')
      .replace(/\b(sha256:)?[0-9a-f]{64}\b/g, 'ID')
      .replace(/\b[0-9a-f]{12}\b/g, 'ID')
      .replace(/\b20(?!20)\d\d-\d\d-\d\d \d\d:\d\d|\b[A-Z][a-z]{2} [ 0-3]\d \d\d:\d\d/g, 'NOW')
      // A directory's size, and what small files take, is the file system's affair.
      .replace(/^total \d+$/gm, 'total')
      .replace(/^(d.* )(?:4096|1024)( .*)$/gm, '$1SIZE$2')
      .replace(/\b[0-9]+ (seconds?|minutes?) ago|About a minute ago|Less than a second ago/g, 'AGO')
  );
}
