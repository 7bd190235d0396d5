// Layers as directories: each has what it changes in a directory of its own, in kernel overlayfs's format, and is mounted as a
// union of that and its parents'.
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { type ByteString, fromText, ok, Stat, SysError } from '../base/index.js';
import { hasUnsyncedMarks, openUpper, XattrNames } from '../layer/index.js';
import {
  type ApplyResult,
  applyLayerTar,
  type ByteSource,
  type Change,
  diffLayer,
  type IdMap,
  type IdRange,
  layerTar,
  ownerOnDisk,
} from '../oci/index.js';
import {
  AT,
  fchmodat,
  fchownat,
  getxattr,
  listMounts,
  listxattr,
  setxattr,
  statx,
  utimensat,
} from '../sys/index.js';
import { defaultConfig, mountUnion } from '../union/index.js';
import type { Backend, LayerMount, LayerRef, LayerUsage, OverlayDirs } from './backend.js';
import { measureTree } from './measure.js';
import type { Places } from './places.js';
import type { Trash } from './trash.js';

/** What the layer holds, and the union's work directory; below the layer's own directory. */
const CONTENT = 'fs';
const WORK = 'work';

export class UnionBackend implements Backend {
  readonly name = 'union';

  constructor(
    private readonly places: Places,
    private readonly trash: Trash,
  ) {}

  async create(layer: LayerRef, ids: IdMap | null): Promise<void> {
    const dir = this.places.layer(layer.id);
    const [parent] = layer.parents;
    try {
      mkdirSync(dir, { mode: 0o711 });
      // A view has nothing of its own; one without a parent shows an empty directory.
      if (layer.readOnly && parent !== undefined) return;
      mkdirSync(this.content(layer.id), { mode: 0o755 });
      if (layer.readOnly) return;
      mkdirSync(join(dir, WORK), { mode: 0o700 });
      if (parent !== undefined) copyRoot(this.contentOf(parent), this.contentOf(layer.id));
      else if (ids !== null) giveToRoot(this.content(layer.id), ids);
    } catch (error) {
      this.trash.take(dir);
      throw asSysError(error, dir);
    }
  }

  async discard(id: number): Promise<void> {
    this.trash.take(this.places.layer(id));
  }

  /** After a crash of the machine: the layers that nobody mounts again are read as they are on disk. */
  async recover(): Promise<void> {
    for (const id of await this.stored()) {
      const work = join(this.places.layer(id), WORK);
      if (hasUnsyncedMarks(work)) openUpper(this.contentOf(id), bytes(work), null).close();
    }
  }

  async stored(): Promise<number[]> {
    return readdirSync(this.places.layers)
      .filter(name => /^[1-9][0-9]*$/.test(name))
      .map(Number);
  }

  directory({ id, parents, readOnly, quota, shown }: LayerRef): string | null {
    if (shown !== null) return null;
    const [parent] = parents;
    if (readOnly) return parents.length > 1 ? null : this.content(parent ?? id);
    return parent === undefined && quota === null ? this.content(id) : null;
  }

  /** Deletions are written as devices, so it has to be the host's root who writes; and a path must do as an option. */
  overlay({ id, parents, readOnly, quota, shown }: LayerRef): OverlayDirs | null {
    const listable = !/[,:\\\s]/.test(this.places.layers);
    const limited = readOnly || quota !== null || shown !== null;
    if (limited || parents.length === 0 || !listable || !isHostRoot()) return null;
    const work = join(this.places.layer(id), WORK);
    return { upper: this.content(id), work, lowers: parents.map(parent => this.content(parent)) };
  }

  async mount(layer: LayerRef, target: string): Promise<LayerMount> {
    const config = defaultConfig();
    // A union has at least one lower.
    config.lowers = layer.parents.length > 0 ? this.lowers(layer) : [bytes(this.places.empty)];
    config.mount.fsname = 'lamina';
    if (layer.shown !== null) {
      config.uidMap = layer.shown.uids.map(toRange);
      config.gidMap = layer.shown.gids.map(toRange);
    }
    if (layer.readOnly) config.readonly = true;
    else {
      config.upper = bytes(this.content(layer.id));
      config.work = bytes(join(this.places.layer(layer.id), WORK));
      config.size = layer.quota;
      config.usage = layer.usage ?? 'count';
    }
    return mountUnion(config, bytes(target));
  }

  apply(layer: LayerRef, tar: ByteSource, ids: IdMap | null): Promise<ApplyResult> {
    return applyLayerTar(tar, this.contentOf(layer.id), { ids, lowers: this.lowers(layer) });
  }

  diff(layer: LayerRef, ids: IdMap | null): AsyncIterable<Buffer> {
    return layerTar(this.contentOf(layer.id), { ids, lowers: this.lowers(layer) });
  }

  changes(layer: LayerRef): AsyncIterable<Change> {
    return diffLayer(this.contentOf(layer.id), { lowers: this.lowers(layer) });
  }

  async measure({ id }: LayerRef): Promise<LayerUsage> {
    // A view has none.
    return existsSync(this.content(id)) ? measureTree(this.content(id)) : { bytes: 0, inodes: 0 };
  }

  describe({ id, parents }: LayerRef, target: string): Record<string, string> {
    const upper = { UpperDir: this.content(id) };
    if (parents.length === 0) return { ...upper, MergedDir: this.content(id) };
    return {
      ...upper,
      LowerDir: parents.map(parent => this.content(parent)).join(':'),
      MergedDir: target,
      WorkDir: join(this.places.layer(id), WORK),
    };
  }

  async status(): Promise<[string, string][]> {
    const { layers } = this.places;
    const { bavail, bsize, blocks } = await statfs(layers);
    const gigabytes = (count: number) => `${((count * bsize) / 1e9).toFixed(2)}GB`;
    return [
      ['Backing Filesystem', filesystemOf(layers)],
      ['Space Available', `${gigabytes(bavail)} of ${gigabytes(blocks)}`],
    ];
  }

  async close(): Promise<void> {}

  private lowers({ parents }: LayerRef): ByteString[] {
    return parents.map(id => this.contentOf(id));
  }

  private content(id: number): string {
    return join(this.places.layer(id), CONTENT);
  }

  private contentOf(id: number): ByteString {
    return bytes(this.content(id));
  }
}

/** Root, and in no user namespace: user_namespaces(7) gives the first one this mapping. */
function isHostRoot(): boolean {
  const mapping = readFileSync('/proc/self/uid_map', 'latin1').trim().split(/\s+/).join(' ');
  return process.geteuid?.() === 0 && mapping === '0 0 4294967295';
}

function toRange({ inside, outside, count }: IdRange) {
  return { container: inside, host: outside, length: count };
}

function bytes(path: string): ByteString {
  return fromText(path);
}

const names = new XattrNames('trusted');

/** The root of a union is its uppermost layer's, so a new layer's root begins as that of the layer under it. */
function copyRoot(from: ByteString, to: ByteString): void {
  const stat = new Stat();
  ok(statx(AT.FDCWD, from, 0, stat.slots), from);
  ok(fchownat(AT.FDCWD, to, stat.uid, stat.gid), to);
  const found = listxattr(AT.FDCWD, from);
  if (typeof found === 'number') throw new SysError(-found, `xattrs of ${from}`);
  for (const name of found) {
    if (names.isPrivate(name)) continue;
    const value = getxattr(AT.FDCWD, from, name);
    if (typeof value === 'number') throw new SysError(-value, `xattr ${name} of ${from}`);
    ok(setxattr(AT.FDCWD, to, name, value), `xattr ${name} of ${to}`);
  }
  ok(fchmodat(AT.FDCWD, to, stat.mode & 0o7777), to);
  ok(utimensat(AT.FDCWD, to, stat.atime, stat.atimeNsec, stat.mtime, stat.mtimeNsec), to);
}

/** The type of the file system that `path` (without symlinks) lies on. */
function filesystemOf(path: string): string {
  const covers = (mountpoint: string) => `${bytes(path)}/`.startsWith(mountpoint.replace(/\/?$/, '/'));
  // The longest is the nearest, and of those at one place the last has covered the others.
  let found = { mountpoint: '', type: 'unknown' };
  for (const mount of listMounts())
    if (covers(mount.mountpoint) && mount.mountpoint.length >= found.mountpoint.length) found = mount;
  return found.type;
}

/** The root of a user namespace owns what it sees as its root directory. */
function giveToRoot(path: string, ids: IdMap): void {
  const { uid, gid } = ownerOnDisk({ uid: 0, gid: 0 }, ids, path);
  chownSync(path, uid, gid);
}

function asSysError(error: unknown, what: string): unknown {
  if (!(error instanceof Error) || error instanceof SysError || !('errno' in error)) return error;
  return new SysError(-Number(error.errno), what);
}
