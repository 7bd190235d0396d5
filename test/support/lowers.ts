// Layers as data: a table from path to entry, written to a directory with raw system calls so that every spelling of a
// whiteout, every attribute and every time is exactly what the table says. Parents that the table leaves out are 0755
// directories. Times that the table leaves out lie in 2001, so that whatever a test changes shows as recent.
import { ok, S } from '../../src/base/index.js';
import { AT, native, O } from '../../src/sys/index.js';

/** Attributes that any entry may carry; xattr values are byte strings, `mtime` is in seconds. */
export interface Meta {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly mtime?: number;
}

export type Entry = Meta &
  (
    | { readonly kind: 'dir' }
    /** `size` beyond the data makes a hole at the end. */
    | { readonly kind: 'file'; readonly data: string; readonly size?: number }
    | { readonly kind: 'symlink'; readonly target: string }
    | { readonly kind: 'node'; readonly type: number; readonly major: number; readonly minor: number }
    /** Another name of an entry that stands earlier in the table. */
    | { readonly kind: 'link'; readonly to: string }
  );

/** Path (relative, no leading slash) to entry; a string is a file with that content. */
export type Layer = Readonly<Record<string, Entry | string>>;

/** The earliest time that `buildLayer` gives, in seconds; everything before `recentFrom` is "old". */
export const oldTime = 1_000_000_000;

export const dir = (meta: Meta = {}): Entry => ({ kind: 'dir', ...meta });
export const file = (data: string, meta: Meta & { size?: number } = {}): Entry => ({
  kind: 'file',
  data,
  ...meta,
});
export const symlink = (target: string, meta: Meta = {}): Entry => ({ kind: 'symlink', target, ...meta });
export const hardlink = (to: string): Entry => ({ kind: 'link', to });
export const chr = (major: number, minor: number, meta: Meta = {}): Entry =>
  node(S.IFCHR, major, minor, meta);
export const blk = (major: number, minor: number, meta: Meta = {}): Entry =>
  node(S.IFBLK, major, minor, meta);
export const fifo = (meta: Meta = {}): Entry => node(S.IFIFO, 0, 0, meta);
export const socket = (meta: Meta = {}): Entry => node(S.IFSOCK, 0, 0, meta);

/** Kernel overlayfs's whiteout: a character device 0/0. */
export const whiteout = (): Entry => chr(0, 0, { mode: 0 });
/** A whiteout as an extended attribute; stands in a directory that `xwhiteouts` made. */
export const xattrWhiteout = (prefix = 'trusted'): Entry =>
  file('', { xattrs: { [`${prefix}.overlay.whiteout`]: 'y' } });
/** A directory that holds xattr whiteouts. */
export const xwhiteouts = (prefix = 'trusted'): Entry =>
  dir({ xattrs: { [`${prefix}.overlay.opaque`]: 'x' } });
/** A directory that hides what lies below it. */
export const opaque = (meta: Meta = {}, prefix = 'trusted'): Entry =>
  dir({ ...meta, xattrs: { ...meta.xattrs, [`${prefix}.overlay.opaque`]: 'y' } });
/** A directory whose lower content is elsewhere. */
export const redirect = (to: string, meta: Meta = {}): Entry =>
  dir({ ...meta, xattrs: { ...meta.xattrs, 'trusted.overlay.redirect': to } });

function node(type: number, major: number, minor: number, meta: Meta): Entry {
  return { kind: 'node', type, major, minor, ...meta };
}

/** One entry of a POSIX ACL: tag (1 owner, 2 user, 4 group owner, 8 group, 16 mask, 32 other), permissions, id. */
export type AclEntry = readonly [tag: number, perm: number, id?: number];

/** The value of a system.posix_acl_* attribute (linux/posix_acl_xattr.h, version 2). */
export function acl(...entries: readonly AclEntry[]): string {
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(2, 0);
  entries.forEach(([tag, perm, id], i) => {
    value.writeUInt16LE(tag, 4 + 8 * i);
    value.writeUInt16LE(perm, 6 + 8 * i);
    value.writeUInt32LE(id ?? 0xffffffff, 8 + 8 * i);
  });
  return value.toString('latin1');
}

/** Every directory above the entries of `layer` that the table does not name, shallowest first. */
function missingParents(layer: Layer): string[] {
  const parents = new Set<string>();
  for (const path of Object.keys(layer)) {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) parents.add(path.slice(0, at));
  }
  return [...parents].filter(path => layer[path] === undefined).sort();
}

/** Writes `layer` into the existing, empty directory `root`, whose own attributes are the entry '' (0755 without one). */
export function buildLayer(root: number, layer: Layer): void {
  const whole: Record<string, Entry | string> = { '': dir() };
  for (const path of missingParents(layer)) whole[path] = dir();
  for (const [path, entry] of Object.entries(layer)) whole[path] = entry;
  const entryOf = (path: string): Entry => toEntry(whole[path]!);
  const paths = Object.keys(whole).sort((a, b) => order(a, entryOf(a)) - order(b, entryOf(b)));
  for (const path of paths) make(root, path, entryOf(path));
  for (const path of paths) attributes(root, path, entryOf(path));
  // Deepest first: making entries has moved the times of the directories above them.
  paths.reverse().forEach((path, i) => {
    times(root, path, entryOf(path), paths.length - i);
  });
}

function toEntry(entry: Entry | string): Entry {
  return typeof entry === 'string' ? file(entry) : entry;
}

/** Parents before children, hard links after all that they may name. */
function order(path: string, entry: Entry): number {
  if (path === '') return 0;
  return path.split('/').length + (entry.kind === 'link' ? 1000 : 0);
}

function make(root: number, path: string, entry: Entry): void {
  if (path === '') return;
  if (entry.kind === 'dir') ok(native.mkdirat(root, path, 0o755), path);
  else if (entry.kind === 'symlink') ok(native.symlinkat(entry.target, root, path), path);
  else if (entry.kind === 'link') ok(native.linkat(root, entry.to, root, path, 0), path);
  else if (entry.kind === 'node')
    ok(native.mknodat(root, path, entry.type | 0o600, entry.major, entry.minor), path);
  else writeFile(root, path, entry.data, entry.size);
}

function writeFile(root: number, path: string, data: string, size?: number): void {
  const fd = ok(native.openat2(root, path, O.WRONLY | O.CREAT | O.EXCL | O.CLOEXEC, 0o600, 0), path);
  const bytes = Buffer.from(data, 'latin1');
  if (bytes.length > 0) ok(native.pwrite(fd, bytes, 0, bytes.length, 0), path);
  if (size !== undefined) ok(native.ftruncate(fd, size), path);
  native.close(fd);
}

function attributes(root: number, path: string, entry: Entry): void {
  if (entry.kind === 'link') return;
  ok(native.fchownat(root, path, entry.uid ?? 0, entry.gid ?? 0), path);
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
    ok(native.setxattrat(root, path, name, Buffer.from(value, 'latin1'), 0), `${path} ${name}`);
  }
  // Mode last: chown drops setuid. An ACL sets the group bits itself, so a mode is then only set when it is given.
  const hasAcl = entry.xattrs?.['system.posix_acl_access'] !== undefined;
  if (entry.kind !== 'symlink' && !(hasAcl && entry.mode === undefined)) {
    ok(native.fchmodat(root, path, entry.mode ?? (entry.kind === 'dir' ? 0o755 : 0o644)), path);
  }
}

function times(root: number, path: string, entry: Entry, index: number): void {
  if (entry.kind === 'link') return;
  const mtime = entry.mtime ?? oldTime + 10 * index;
  // atime below mtime: with relatime the next read would move it, so a read of a lower that forgets O_NOATIME shows.
  ok(native.utimensat(root, path, mtime - 1, 0, mtime, 123_456_789), path);
}

/** Opens a directory for the functions above. */
export function openDir(path: string): number {
  return ok(native.openat2(AT.FDCWD, path, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0, 0), path);
}
