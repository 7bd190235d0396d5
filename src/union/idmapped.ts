// Layers that come on id-mapped mounts although `uidmapping` asks for the same mapping, as containers-storage up to 1.43 gives
// them to a mount program (drivers/overlay: it prepares lowers for kernel overlayfs, and says the mapping to the program
// too). Mapped twice, all would be nobody's; so the layer is opened where its file system is mounted without a mapping.
import { realpathSync } from 'node:fs';
import { type ByteString, Stat, toText } from '../base/index.js';
import { AT, listMounts, type Mount, statx } from '../sys/index.js';
import { IdMap } from './idmap.js';
import type { UnionConfig } from './unionconfig.js';

/** The option by which mountinfo tells an id-mapped mount. */
const IDMAPPED = 'idmapped';

/**
 * Paths of the lower layers, each without the mapping of its mount where that mapping is the one of `config`. A layer whose
 * unmapped directory is mounted nowhere stays as it is, with a note.
 */
export function unmappedLowers(config: UnionConfig): ByteString[] {
  if (config.uidMap.length === 0 && config.gidMap.length === 0) return config.lowers;
  const mounts = listMounts();
  if (!mounts.some(mount => mount.options.includes(IDMAPPED))) return config.lowers;
  return config.lowers.map(path => unmapped(path, mounts, config));
}

function unmapped(path: ByteString, mounts: readonly Mount[], config: UnionConfig): ByteString {
  const mapped = new Stat();
  // Whatever is wrong with the path is said by who opens it.
  if (statx(AT.FDCWD, path, 0, mapped.slots) < 0) return path;
  const mount = mounts.find(one => one.id === mapped.mountId);
  if (mount === undefined || !mount.options.includes(IDMAPPED)) return path;
  const raw = new Stat();
  const real = realpathSync(Buffer.from(path, 'latin1'), 'latin1');
  const inside = moved(real, mount.mountpoint, mount.root);
  for (const other of mounts) {
    if (other.devMajor !== mount.devMajor || other.devMinor !== mount.devMinor) continue;
    if (other.options.includes(IDMAPPED) || !`${inside}/`.startsWith(slashed(other.root))) continue;
    const candidate = moved(inside, other.root, other.mountpoint);
    if (isBehindFuse(candidate, mounts)) continue;
    if (statx(AT.FDCWD, candidate, 0, raw.slots) < 0 || !sameDirectory(raw, mapped)) continue;
    if (raw.mountId === other.id) return mapsAlike(raw, mapped, config) ? candidate : path;
  }
  config.notes.push(`uidmapping: the mount of ${toText(path)} maps ids already; both mappings apply to it`);
  return path;
}

/** Does the way to `path` lead through a FUSE mount? It may be one that this process serves, and would wait for itself there. */
function isBehindFuse(path: ByteString, mounts: readonly Mount[]): boolean {
  return mounts.some(
    ({ type, mountpoint }) =>
      type.startsWith('fuse') && mountpoint !== '/' && `${path}/`.startsWith(slashed(mountpoint)),
  );
}

/** Does the mount do to the owner of a layer's root what the options would do to it? */
function mapsAlike(raw: Stat, mapped: Stat, { uidMap, gidMap }: UnionConfig): boolean {
  const uids = new IdMap(uidMap, null);
  const gids = new IdMap(gidMap, null);
  return uids.shown(raw.uid) === mapped.uid && gids.shown(raw.gid) === mapped.gid;
}

function sameDirectory(a: Stat, b: Stat): boolean {
  return a.dev === b.dev && a.inoLow === b.inoLow && a.inoHigh === b.inoHigh;
}

/** The same place below `to` that `path` is below `from`. */
function moved(path: ByteString, from: ByteString, to: ByteString): ByteString {
  return `${slashed(to)}${path.slice(slashed(from).length)}`;
}

function slashed(path: ByteString): ByteString {
  return path.endsWith('/') ? path : `${path}/`;
}
