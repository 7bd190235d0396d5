// What serves a volume: qemu-nbd with a raw file and with qcow2, lamina over NBD, and loop devices on a plain file and on
// lamina's file. Each begins with an empty volume, a full one, or one that was full when a snapshot was taken.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAIN, sh, succeeds } from '../shell.js';
import type { Subject } from '../suite.js';

export type Content = 'fresh' | 'full' | 'snapshotted';

/** A volume that takes clients: an NBD URI or the path of a block device. */
export interface Served {
  readonly address: string;
  end(): Promise<void>;
}

export interface ThinSubject extends Subject {
  /** Makes the volume below `dir`; `image` is what a full one holds, `size` in bytes. */
  prepare(dir: string, content: Content, image: string, size: number): void;
  serve(dir: string): Promise<Served>;
  /** Why it has no snapshots, when it has none. */
  readonly noSnapshots?: string;
}

const lamina = `"${process.execPath}" "${MAIN}"`;

/** Waits until the file is there that a process makes when it is ready. */
async function seen(file: string, child: ChildProcess): Promise<void> {
  for (const until = Date.now() + 60_000; !existsSync(file); ) {
    if (child.exitCode !== null || Date.now() > until)
      throw new Error(`${child.spawnargs[0]} does not start`);
    await sleep(10);
  }
}

/** Starts a server that listens on `dir`/socket; resolves when it does. */
async function server(argv: readonly string[], dir: string, name = ''): Promise<Served> {
  const socket = `${dir}/socket`;
  const child: ChildProcess = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  // A server says nothing that all of them say: that it listens is seen at its socket.
  await seen(socket, child);
  return {
    address: `nbd+unix:///${name}?socket=${socket}`,
    async end() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** As `qemu-nbd` does it unless told otherwise: writeback cache, threads, clusters of 64 KiB. */
const qemu = (format: string, file: string, dir: string): Promise<Served> =>
  server(['qemu-nbd', '-f', format, '-k', `${dir}/socket`, '-t', '-e', '8', file], dir);

function loop(file: string, end: () => Promise<void> = async () => {}): Served {
  const address = sh('losetup -f --show "$F"', '/', { F: file }).trim();
  return {
    address,
    async end() {
      sh('losetup -d "$L"', '/', { L: address });
      await end();
    },
  };
}

function rawFile(dir: string, content: Content, image: string, size: number): void {
  sh(content === 'fresh' ? `truncate -s ${size} raw` : `cp --reflink=never ${image} raw`, dir);
}

function pool(dir: string, content: Content, image: string, size: number): void {
  sh(`${lamina} pool create pool --size ${4 * size}`, dir);
  if (content === 'fresh') sh(`${lamina} volume create pool/v --size ${size}`, dir);
  else sh(`${lamina} volume import pool/v ${image}`, dir);
  if (content === 'snapshotted') sh(`${lamina} volume snapshot pool/v pool/s`, dir);
}

const installed = (): Pick<Subject, 'missing' | 'version'> =>
  succeeds('command -v qemu-nbd')
    ? { version: /[\d.]+/.exec(sh('qemu-nbd --version'))![0] }
    : { missing: 'apt-get install qemu-utils' };

const rootOnly = (): Pick<Subject, 'missing'> =>
  process.getuid!() === 0 ? {} : { missing: 'root, for its loop device' };

/** All of them, those that are missing too. */
export const thinSubjects = (): readonly ThinSubject[] => [
  {
    name: 'qemu-raw',
    about: 'qemu-nbd on a sparse raw file',
    ...installed(),
    noSnapshots: 'a raw file has no snapshots',
    prepare: rawFile,
    serve: dir => qemu('raw', `${dir}/raw`, dir),
  },
  {
    name: 'qemu-qcow2',
    about: 'qemu-nbd on qcow2, clusters of 64 KiB',
    ...installed(),
    prepare(dir, content, image, size) {
      const make = `qemu-img create -q -f qcow2 q ${size}`;
      sh(content === 'fresh' ? make : `qemu-img convert -f raw -O qcow2 ${image} q`, dir);
      if (content === 'snapshotted') sh('qemu-img snapshot -c s q', dir);
    },
    serve: dir => qemu('qcow2', `${dir}/q`, dir),
  },
  {
    name: 'loop',
    about: 'a loop device on a sparse raw file',
    ...rootOnly(),
    noSnapshots: 'a raw file has no snapshots',
    prepare: rawFile,
    serve: async dir => loop(`${dir}/raw`),
  },
  {
    name: 'lamina-nbd',
    about: 'lamina nbd',
    prepare: pool,
    serve: dir =>
      server([process.execPath, MAIN, 'nbd', '--socket', `${dir}/socket`, `${dir}/pool/v`], dir, 'v'),
  },
  {
    name: 'lamina-loop',
    about: 'a loop device on the file of lamina pool mount',
    ...rootOnly(),
    prepare: pool,
    async serve(dir) {
      sh('mkdir disks', dir);
      const argv = [MAIN, 'pool', 'mount', '-f', `${dir}/pool`, `${dir}/disks`];
      const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit'] });
      const ended = once(child, 'exit');
      await seen(`${dir}/disks/v`, child);
      // The pool is at rest once its process has ended, which is after the unmount.
      return loop(`${dir}/disks/v`, async () => {
        sh(`${lamina} umount disks`, dir);
        await ended;
      });
    },
  },
];
