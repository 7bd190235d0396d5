// What serves a volume over NBD on a unix socket: qemu-nbd with a raw file and with qcow2, and lamina. Each begins with an
// empty volume, a full one, or one that was full when a snapshot was taken.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sh } from './subjects.js';

export type Content = 'fresh' | 'full' | 'snapshotted';

export interface ThinSubject {
  readonly name: string;
  /** Makes the volume below `dir`; `image` is what a full one holds, `size` in bytes. */
  prepare(dir: string, content: Content, image: string, size: number): void;
  /** The server's command line. */
  serve(dir: string, socket: string): string[];
  /** Absent when it has no snapshots. */
  readonly snapshots: boolean;
}

const MAIN = resolve(process.env.LAMINA_MAIN ?? 'dist/cli/main.js');
const lamina = `${process.execPath} ${MAIN}`;

/** As `qemu-nbd` does it unless told otherwise: writeback cache, threads, clusters of 64 KiB. */
function qemu(format: string, socket: string, file: string): string[] {
  return ['qemu-nbd', '-f', format, '-k', socket, '-t', '-e', '8', file];
}

const raw: ThinSubject = {
  name: 'qemu-nbd raw',
  snapshots: false,
  prepare: (dir, content, image, size) =>
    void sh(content === 'fresh' ? `truncate -s ${size} raw` : `cp --reflink=never ${image} raw`, dir),
  serve: (dir, socket) => qemu('raw', socket, `${dir}/raw`),
};

const qcow2: ThinSubject = {
  name: 'qemu-nbd qcow2',
  snapshots: true,
  prepare(dir, content, image, size) {
    sh(
      content === 'fresh'
        ? `qemu-img create -q -f qcow2 q ${size}`
        : `qemu-img convert -f raw -O qcow2 ${image} q`,
      dir,
    );
    if (content === 'snapshotted') sh('qemu-img snapshot -c s q', dir);
  },
  serve: (dir, socket) => qemu('qcow2', socket, `${dir}/q`),
};

const laminaNbd: ThinSubject = {
  name: 'lamina nbd',
  snapshots: true,
  prepare(dir, content, image, size) {
    sh(`${lamina} pool create pool --size ${4 * size}`, dir);
    if (content === 'fresh') sh(`${lamina} volume create pool/v --size ${size}`, dir);
    else sh(`${lamina} volume import pool/v ${image}`, dir);
    if (content === 'snapshotted') sh(`${lamina} volume snapshot pool/v pool/s`, dir);
  },
  serve: (dir, socket) => [process.execPath, MAIN, 'nbd', '--socket', socket, `${dir}/pool/v`],
};

export const THIN_SUBJECTS: readonly ThinSubject[] = [raw, qcow2, laminaNbd];

export interface Served {
  readonly uri: string;
  readonly pid: number;
  end(): Promise<void>;
}

/** Starts the server of a prepared volume; resolves when it takes clients. */
export async function start(subject: ThinSubject, dir: string): Promise<Served> {
  const socket = `${dir}/socket`;
  const [command, ...args] = subject.serve(dir, socket);
  const child: ChildProcess = spawn(command!, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  // A server says nothing that all of them say: that it listens is seen at its socket.
  for (const until = Date.now() + 20_000; !existsSync(socket); ) {
    if (child.exitCode !== null || Date.now() > until) throw new Error(`${subject.name} does not start`);
    await sleep(10);
  }
  return {
    uri: `nbd+unix:///${subject === laminaNbd ? 'v' : ''}?socket=${socket}`,
    pid: child.pid!,
    async end() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
