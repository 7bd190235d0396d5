// A tree as comparable lines: everything that two mounts of the same layers must show alike. Inode numbers themselves
// are not compared (each union has its own scheme), but who shares one is, and each must be the same in readdir and
// stat. Times are compared when they are older than the test: what an operation moved shows as "recent".
import { createHash } from 'node:crypto';
import { E, modeToType, ok, S, Stat, SysError } from '../../src/base/index.js';
import { AT, getxattr, listxattr, native, O, readDirents, SEEK } from '../../src/sys/index.js';
import { typeName } from './ops-names.js';

/** How a tree is looked at; paths are relative to its root, which is ''. Answers may be promises (subject-memory.ts). */
export interface View {
  list(path: string): Awaitable<Listed[]>;
  stat(path: string, out: Stat): Awaitable<void>;
  readlink(path: string): Awaitable<string>;
  /** Content of a regular file of `size` bytes (of a large one, what is not zero in it). */
  read(path: string, size: number): Awaitable<Buffer>;
  /** Names with values. */
  xattrs(path: string): Awaitable<(readonly [string, string])[]>;
}

export type Awaitable<T> = T | Promise<T>;

export interface Listed {
  readonly name: string;
  readonly ino: string;
  readonly type: number;
}

export interface Snapshot {
  /** One line per file, in order of path. */
  readonly lines: readonly string[];
  /** What no file system should show: two answers that contradict each other. */
  readonly problems: readonly string[];
  /** Inode number (see `inodeOf`) by path. */
  readonly inodes: ReadonlyMap<string, string>;
}

export interface SnapshotOptions {
  /** Leaves out the times of regular files. */
  readonly noFileTimes?: boolean;
  /** Leave out modification times. */
  readonly noTimes?: boolean;
  /** Leave out link counts, and who is a hard link of whom. */
  readonly noIdentity?: boolean;
}

/** An inode number in full: with xino the upper bits are used, which a double does not hold. */
export function inodeOf(low: number, high: number): string {
  return high === 0 ? String(low) : `${high}:${low}`;
}

/** Anything later than this (seconds) was set by the test itself: 2020. */
const recentFrom = 1_577_836_800;

export async function snapshot(view: View, options: SnapshotOptions = {}): Promise<Snapshot> {
  const lines: string[] = [];
  const problems: string[] = [];
  const inodes = new Map<string, string>();
  const firstPath = new Map<string, string>();
  const stat = new Stat();

  const one = async (path: string, listed: Listed | null): Promise<void> => {
    try {
      await view.stat(path, stat);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      problems.push(`${path}: listed, but stat gives ${error.code}`);
      lines.push(`${path} | listed only`);
      return;
    }
    const { mode, nlink, size } = stat;
    const ino = inodeOf(stat.inoLow, stat.inoHigh);
    if (listed !== null) {
      if (listed.ino !== ino) problems.push(`${path}: readdir gives inode ${listed.ino}, stat gives ${ino}`);
      if (listed.type !== modeToType(mode)) problems.push(`${path}: readdir gives type ${listed.type}`);
    }
    const isDir = (mode & S.IFMT) === S.IFDIR;
    const earlier = firstPath.get(ino);
    if (earlier === undefined) firstPath.set(ino, path);
    else if (isDir || nlink < 2) problems.push(`${path}: has the inode number of ${earlier}`);
    inodes.set(path, ino);
    const fields = [path === '' ? '/' : path, attributes(stat, options)];
    if (earlier !== undefined && !isDir && nlink > 1 && !options.noIdentity)
      fields.push(`same as ${earlier}`);
    if ((mode & S.IFMT) === S.IFLNK) fields.push(`-> ${await view.readlink(path)}`);
    if ((mode & S.IFMT) === S.IFREG) fields.push(contentOf(await view.read(path, size)));
    const attrs = await view.xattrs(path);
    for (const [name, value] of [...attrs].sort()) fields.push(`${name}=${printable(value)}`);
    lines.push(fields.join(' | '));
    if (isDir) await below(path);
  };
  const below = async (path: string): Promise<void> => {
    const entries = [...(await view.list(path))].sort((a, b) => (a.name < b.name ? -1 : 1));
    const names = new Set(entries.map(entry => entry.name));
    if (names.size !== entries.length) problems.push(`${path}: readdir gives a name twice`);
    for (const entry of entries) await one(path === '' ? entry.name : `${path}/${entry.name}`, entry);
  };
  await one('', null);
  return { lines, problems, inodes };
}

function attributes(stat: Stat, options: SnapshotOptions): string {
  const kind = stat.mode & S.IFMT;
  const parts = [typeName(stat.mode), (stat.mode & 0o7777).toString(8), `${stat.uid}:${stat.gid}`];
  // Of a directory neither says anything: the count depends on whether a failed operation has copied it up.
  if (kind !== S.IFDIR && !options.noIdentity) parts.push(`links ${stat.nlink}`);
  if (kind !== S.IFDIR) parts.push(`size ${stat.size}`);
  if (kind === S.IFCHR || kind === S.IFBLK) parts.push(`dev ${stat.rdevMajor}:${stat.rdevMinor}`);
  const hasTime = !options.noTimes && !(options.noFileTimes && kind === S.IFREG);
  if (hasTime) parts.push(stat.mtime < recentFrom ? `${stat.mtime}.${stat.mtimeNsec}` : 'recent');
  return parts.join(' ');
}

function contentOf(data: Buffer): string {
  if (data.length <= 40) return printable(data.toString('latin1'));
  return createHash('sha1').update(data).digest('hex').slice(0, 12);
}

function printable(text: string): string {
  return JSON.stringify(text.replace(/[^ -~]/g, char => `\\x${char.charCodeAt(0).toString(16)}`));
}

/** Looks at the tree below an open directory with system calls. */
export class SystemView implements View {
  constructor(private readonly root: number) {}

  list(path: string): Listed[] {
    const flags = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
    const fd = ok(native.openat2(this.root, path === '' ? '.' : path, flags, 0, 0), `open ${path}`);
    const entries: Listed[] = [];
    try {
      readDirents(fd, (name, _ino, type, low, high) => entries.push({ name, ino: inodeOf(low, high), type }));
    } finally {
      native.close(fd);
    }
    return entries;
  }

  stat(path: string, out: Stat): void {
    const flags = AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH;
    ok(native.statx(this.root, path, flags, out.slots), `stat ${path}`);
  }

  readlink(path: string): string {
    const buffer = Buffer.alloc(4096);
    return buffer.toString('latin1', 0, ok(native.readlinkat(this.root, path, buffer), `readlink ${path}`));
  }

  read(path: string, size: number): Buffer {
    const fd = ok(native.openat2(this.root, path, O.RDONLY | O.NOFOLLOW | O.CLOEXEC, 0, 0), `open ${path}`);
    try {
      return size > largeFile ? readBlocks(fd, path) : readWhole(fd, path, size);
    } finally {
      native.close(fd);
    }
  }

  xattrs(path: string): (readonly [string, string])[] {
    const names = listxattr(this.root, path);
    if (typeof names === 'number') return [['list', String(ok(names, `listxattr ${path}`))]];
    return names.map(name => {
      const value = getxattr(this.root, path, name);
      return [name, typeof value === 'number' ? `errno ${-value}` : value.toString('latin1')] as const;
    });
  }
}

function readWhole(fd: number, path: string, size: number): Buffer {
  // One byte more than there should be: a file that is longer than its size must not pass.
  const buffer = Buffer.alloc(size + 1);
  return buffer.subarray(0, ok(native.pread(fd, buffer, 0, size + 1, 0), `read ${path}`));
}

/** Files above this size (bytes) are read by what is not zero in them. */
const largeFile = 1 << 20;
const blockSize = 4096;

/** The blocks of a large sparse file that hold anything but zeroes, each after its offset. */
function readBlocks(fd: number, path: string): Buffer {
  const parts: Buffer[] = [];
  const block = Buffer.alloc(blockSize);
  let at = native.lseek(fd, 0, SEEK.DATA);
  while (at >= 0) {
    const got = ok(native.pread(fd, block, 0, blockSize, at), `read ${path}`);
    parts.push(...nonZero(block.subarray(0, got), at));
    at = native.lseek(fd, at + blockSize, SEEK.DATA);
  }
  if (at !== -E.ENXIO) ok(at, `seek ${path}`);
  return Buffer.concat(parts);
}

/** The content of a large file in the form that `View.read` gives. */
export function condensed(data: Buffer): Buffer {
  if (data.length <= largeFile) return data;
  const parts: Buffer[] = [];
  for (let at = 0; at < data.length; at += blockSize)
    parts.push(...nonZero(data.subarray(at, at + blockSize), at));
  return Buffer.concat(parts);
}

function nonZero(block: Buffer, at: number): Buffer[] {
  return block.equals(zeroBlock.subarray(0, block.length)) ? [] : [Buffer.from(`${at}:`), Buffer.from(block)];
}

const zeroBlock = Buffer.alloc(blockSize);

/** The first differences between two lists of lines, one per line; '' when there are none. */
export function differences(expected: readonly string[], found: readonly string[], limit = 6): string {
  const inFound = new Set(found);
  const inExpected = new Set(expected);
  const missing = expected.filter(line => !inFound.has(line)).map(line => `- ${line}`);
  const extra = found.filter(line => !inExpected.has(line)).map(line => `+ ${line}`);
  const all = [...missing, ...extra].sort((a, b) => (pathOf(a) < pathOf(b) ? -1 : 1));
  if (all.length <= 2 * limit) return all.join('\n');
  return [...all.slice(0, 2 * limit), `... ${all.length - 2 * limit} more`].join('\n');
}

function pathOf(line: string): string {
  return `${line.slice(2).split(' | ')[0]} ${line[0] === '-' ? 0 : 1}`;
}
