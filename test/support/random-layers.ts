// Random layers: small trees over a small alphabet, so that layers hide, merge with and contradict each other, with
// every kind of entry and every mark that an overlayfs layer may carry.
import { S } from '../../src/base/index.js';
import {
  acl,
  blk,
  chr,
  dir,
  type Entry,
  fifo,
  file,
  hardlink,
  type Layer,
  type Meta,
  opaque,
  socket,
  symlink,
  whiteout,
} from './lowers.js';
import type { Random } from './random.js';

/** Names that operations and layers share; few, so that collisions are common. */
export const alphabet = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

/** How an overlay's marks are spelled in these layers. */
export type Prefix = 'trusted' | 'user';

const modes = [0o755, 0o700, 0o777, 0o1777, 0o2775, 0o555, 0o000];
const fileModes = [0o644, 0o600, 0o666, 0o4755, 0o2755, 0o444, 0o000, 0o755];

/** Owner, mode and attributes for an entry that may carry them. */
function meta(random: Random, isDir: boolean): Meta {
  const xattrs: Record<string, string> = {};
  if (random.oneIn(5)) xattrs[`user.${random.pick(alphabet)}`] = random.pick(['', 'one', 'two']);
  if (random.oneIn(12)) xattrs['trusted.t'] = 'root only';
  if (!isDir && random.oneIn(14)) xattrs['security.capability'] = capability;
  if (random.oneIn(12)) xattrs['system.posix_acl_access'] = someAcl;
  if (isDir && random.oneIn(8)) xattrs['system.posix_acl_default'] = someAcl;
  const owner = random.oneIn(3) ? { uid: 1000, gid: 1000 } : {};
  const mode = random.oneIn(2) ? { mode: random.pick(isDir ? modes : fileModes) } : {};
  return { ...owner, ...mode, xattrs };
}

/** Revision 2, effective, permitted CAP_NET_RAW (linux/capability.h: struct vfs_cap_data). */
export const capability = '\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00';

export const someAcl = acl([1, 7], [2, 6, 1000], [4, 5], [16, 7], [32, 4]);

function content(random: Random): Entry {
  const data = random.weighted<() => string>([
    [6, () => `${random.pick(alphabet)}${random.below(1000)}`],
    [1, () => ''],
    [2, () => random.pick(alphabet).repeat(4096 + random.below(9000))],
  ])();
  const sparse = random.oneIn(8) ? { size: data.length + 8192 * (1 + random.below(20)) } : {};
  return file(data, { ...meta(random, false), ...sparse });
}

/** A layer of about `size` entries. The lowest has little to hide. */
export function randomLayer(random: Random, size: number, prefix: Prefix, lowest: boolean): Layer {
  const layer: Record<string, Entry> = {};
  const dirs = [''];
  const files: string[] = [];
  for (let i = 0; i < size; i++) {
    const parent = random.pick(dirs);
    const name = random.pick(alphabet);
    const path = parent === '' ? name : `${parent}/${name}`;
    if (layer[path] !== undefined) continue;
    const deep = parent.split('/').length >= 3;
    const kinds: [number, () => Entry][] = [
      [deep ? 1 : 9, () => dir(meta(random, true))],
      [8, () => content(random)],
      [2, () => symlink(random.pick(['a', 'b/c', 'd', './e', 'f/g', 'nowhere']))],
      [1, () => random.pick([fifo, socket])()],
      [1, () => random.pick([chr(1, 3, { mode: 0o666 }), blk(240, 7)])],
    ];
    if (files.length > 0) kinds.push([3, () => hardlink(random.pick(files))]);
    if (!lowest || random.oneIn(6)) {
      kinds.push([4, whiteout], [3, () => opaque(meta(random, true), prefix)]);
    }
    const entry = random.weighted(kinds)();
    layer[path] = entry;
    if (entry.kind === 'dir') dirs.push(path);
    else if (entry.kind === 'file') files.push(path);
  }
  return markOrigins(layer, prefix);
}

/**
 * Marks each directory that holds whiteouts as copied up, as it is in every upper that overlayfs wrote. Without the mark
 * kernel overlayfs lists the whiteouts of a directory that merges with nothing (see test/contract/differences.md).
 */
function markOrigins(layer: Record<string, Entry>, prefix: Prefix): Layer {
  for (const [path, entry] of Object.entries(layer)) {
    const isWhiteout =
      entry.kind === 'node' && entry.major === 0 && entry.minor === 0 && entry.type === S.IFCHR;
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    const above = layer[parent];
    if (!isWhiteout || above === undefined) continue;
    layer[parent] = { ...above, xattrs: { ...above.xattrs, [`${prefix}.overlay.origin`]: '' } };
  }
  return layer;
}

/** Every path that some layer has. */
export function pathsOf(layers: readonly Layer[]): string[] {
  return [...new Set(layers.flatMap(layer => Object.keys(layer)))];
}
