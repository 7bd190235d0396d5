// Loop devices, by losetup(8): made, taken away, told of a new size, and listed with the files behind them.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { attempt, attemptWithin, tool } from './loop-tool.js';

/** Where the kernel shows block devices. */
const BLOCK = '/sys/block';
const GONE: readonly unknown[] = ['ENOENT', 'ENODEV', 'ENXIO'];

export interface LoopOptions {
  readonly readOnly?: boolean;
  /** Reads and writes of the device bypass the page cache of the file (default true). */
  readonly directIo?: boolean;
}

/** A loop device, such as /dev/loop3. */
export interface Loop {
  readonly device: string;
  /** Its own number, as in the mount table. */
  readonly number: string;
  /** The file behind it as the kernel names it: below the mount point, or below the root of a mount that we cannot see. */
  readonly file: string;
  readonly directIo: boolean;
}

/** Which file is behind a loop device. */
export interface LoopFile {
  /** The number of its file system. */
  readonly device: string;
  readonly ino: number;
}

/** Makes a loop device of `file`; resolves to its path. */
export async function attachLoop(file: string, options: LoopOptions = {}): Promise<string> {
  const mode = options.readOnly === true ? ['--read-only'] : [];
  const direct = options.directIo === false ? 'off' : 'on';
  const device = await tool('losetup', '--find', '--show', ...mode, `--direct-io=${direct}`, '--', file);
  return device.trim();
}

/** Takes a loop device away: at once, or as soon as nobody has it open (a mounted file system has). */
export async function detachLoop(device: string): Promise<void> {
  await tool('losetup', '--detach', device);
}

/** Tells a loop device that its file has another size; `path` is where the file is by now. */
export async function resizeLoop(device: string, path: string): Promise<void> {
  // Older kernels take the size that the inode has in memory, which is what the file was last asked for.
  await stat(path);
  await tool('losetup', '--set-capacity', device);
}

/**
 * All loop devices that have a file. Read from sysfs, which asks nobody: losetup(8) asks for the attributes of each file, and so
 * waits for every FUSE server that has a loop device on one, also one that never answers.
 */
export async function listLoops(): Promise<Loop[]> {
  const found: Loop[] = [];
  for (const name of await readdir(BLOCK)) {
    if (!name.startsWith('loop')) continue;
    try {
      const [number, file, dio] = await Promise.all(
        ['dev', 'loop/backing_file', 'loop/dio'].map(each => readFile(join(BLOCK, name, each), 'utf8')),
      );
      found.push({
        device: `/dev/${name}`,
        number: number!.trim(),
        file: file!.replace(/\n$/, ''),
        directIo: dio!.trim() === '1',
      });
    } catch (error) {
      // Without a file, or gone by now.
      if (!(error instanceof Error && 'code' in error) || !GONE.includes(error.code)) throw error;
    }
  }
  return found;
}

/**
 * The file behind a loop device; null when its file system is gone, or has not said within `patience` milliseconds which it is.
 * Waits for who serves that file system.
 */
export async function fileOf({ device }: Loop, patience?: number): Promise<LoopFile | null> {
  const words = ['--list', '--json', '--output', 'BACK-INO,BACK-MAJ:MIN', device];
  const answer = await (patience === undefined
    ? attempt('losetup', words)
    : attemptWithin(patience, 'losetup', words));
  // Gone by now.
  if (answer === null || answer.status !== 0 || answer.out.trim() === '') return null;
  const [row] = (JSON.parse(answer.out) as { loopdevices: Row[] }).loopdevices;
  const [ino, number] = [row?.['back-ino'] ?? null, row?.['back-maj:min'] ?? null];
  return ino === null || number === null ? null : { device: number.trim(), ino };
}

interface Row {
  readonly 'back-ino': number | null;
  readonly 'back-maj:min': string | null;
}
