// A layer tar onto a directory, by the rules of the OCI image-spec (layer.md): either as a layer of a union, where
// deletions become whiteouts, or carried out on a plain tree.
import { type ByteString, E, isErrno, ok, S, SysError } from '../base/index.js';
import { type Namespace, type RealDir, removeEntry } from '../layer/index.js';
import { fchownat, linkat, mknodat, symlinkat } from '../sys/index.js';
import { Attributes } from './apply-attributes.js';
import { writeFile } from './apply-file.js';
import { Lowers } from './apply-lowers.js';
import { Notes } from './apply-notes.js';
import { parseTarPath, splitPath } from './apply-path.js';
import { type Present, Target } from './apply-target.js';
import { type ByteSource, BytesIn, uncompressed } from './bytes-in.js';
import type { Entry } from './entry.js';
import { type IdMap, ownerOnDisk } from './id-map.js';
import { releaseUpwards } from './merged.js';
import { readTar, type TarEntry } from './tar-read.js';

export interface ApplyOptions {
  /**
   * 'keep' (default): deletions become whiteouts and opaque marks, for a directory that is a layer of a union.
   * 'apply': they are carried out, for a plain tree.
   */
  whiteouts?: 'keep' | 'apply';
  /** The tree is no layer of any union, now or later: xattrs that look like a union's notes are users' data. */
  plain?: boolean;
  /** Set owners and make devices; default: if we are root. Otherwise notes say what was left out. */
  privileged?: boolean;
  /** Layers under this one, top first: a directory that the tar leaves out is then what it is there. */
  lowers?: readonly ByteString[];
  /** The tar's owners are those of a user namespace. */
  ids?: IdMap | null;
  /** Called after each entry; `bytes` of the (unpacked) tar so far. */
  onEntry?: ((path: ByteString, bytes: number) => void) | undefined;
}

export interface ApplyResult {
  /** Entries of the tar. */
  entries: number;
  /** Bytes of file data. */
  bytes: number;
  /** What Docker calls the layer's size: `bytes`, and the targets of symlinks. */
  size: number;
  /** What could not be done as the tar says, a sentence each. */
  notes: string[];
}

/**
 * Applies a layer tar (plain or gzip) to the directory `dir`, which is there already, empty or not. Throws SysError: EBADMSG
 * for a damaged tar, EINVAL for names that a layer cannot have, EOPNOTSUPP for other compressions and members, or what a
 * system call says; the message names the entry and what was made before it.
 */
export async function applyLayerTar(
  source: ByteSource,
  dir: ByteString,
  options: ApplyOptions = {},
): Promise<ApplyResult> {
  const packed = new BytesIn(source);
  let applying: Applying | null = null;
  let tar: BytesIn | null = null;
  let tried: ByteString | null = null;
  try {
    applying = new Applying(dir, options);
    tar = await uncompressed(packed);
    for await (const entry of readTar(tar)) {
      tried = entry.path;
      await applying.take(entry);
      options.onEntry?.(entry.path, tar.taken);
      tried = null;
    }
    applying.finish();
    return applying.result();
  } catch (error) {
    throw applying === null ? error : explain(error, tried, applying.result().entries, dir);
  } finally {
    applying?.close();
    await tar?.close();
    await packed.close();
  }
}

function explain(error: unknown, tried: ByteString | null, entries: number, dir: ByteString): unknown {
  if (!(error instanceof SysError)) return error;
  const at = tried === null || error.what.includes(tried) ? '' : `'${tried}': `;
  const state = entries === 0 ? 'was not changed' : `holds a part of the layer (${entries} entries)`;
  return new SysError(error.errno, `${at}${error.what}; ${dir} ${state}`);
}

/** One run. */
class Applying {
  private readonly target: Target;
  private readonly attributes: Attributes;
  private readonly notes = new Notes();
  private readonly privileged: boolean;
  /** Set last, since what is made in a directory changes its time and needs its permission. */
  private readonly directories = new Map<ByteString, { entry: Entry; existed: boolean }>();
  private entries = 0;
  private bytes = 0;
  private targets = 0;
  private readonly ids: IdMap | null;
  private readonly lowers: Lowers;

  constructor(dir: ByteString, options: ApplyOptions) {
    this.ids = options.ids ?? null;
    this.lowers = new Lowers(options.lowers ?? []);
    this.privileged = options.privileged ?? process.geteuid?.() === 0;
    const asLayer = options.whiteouts !== 'apply';
    const namespace: Namespace = this.privileged ? 'trusted' : 'user';
    const { plain = false } = options;
    this.attributes = new Attributes({ privileged: this.privileged, asLayer, plain, namespace }, this.notes);
    this.target = new Target(dir, asLayer, namespace, (dir, hidden) => this.madeParent(dir, hidden));
  }

  close(): void {
    this.lowers.close();
    this.target.close();
  }

  result(): ApplyResult {
    const { entries, bytes, targets, notes } = this;
    return { entries, bytes, size: bytes + targets, notes: notes.list() };
  }

  async take(tarEntry: TarEntry): Promise<void> {
    const { parents, name, kind } = parseTarPath(tarEntry.path);
    const parentPath = parents.join('/');
    const path = parents.concat(name).join('/');
    for (const note of tarEntry.notes) this.notes.add(note, path);
    if (kind === 'ignored')
      this.notes.add('is a name that AUFS keeps for itself and was left out', tarEntry.path);
    else if (kind === 'opaque') this.target.hideAll(this.target.enter(parents).dir, parentPath);
    else if (kind === 'whiteout' || isDeviceWhiteout(tarEntry)) {
      this.target.hide(this.target.enter(parents).dir, name, path);
    } else {
      const owner = this.ids === null ? tarEntry : ownerOnDisk(tarEntry, this.ids, path);
      const { uid, gid } = owner;
      await this.make({ ...tarEntry, path, uid, gid }, parents, name, tarEntry.data);
    }
    this.entries++;
  }

  /** A directory that the tar says nothing of, unless an entry of its own comes yet. */
  private madeParent(dir: RealDir, hidden: boolean): void {
    const path = dir.path().slice(1);
    const below = hidden ? null : this.lowers.directory(path.split('/'));
    if (below !== null) this.directories.set(path, { entry: below, existed: false });
    else if (this.ids !== null) {
      const { uid, gid } = ownerOnDisk({ uid: 0, gid: 0 }, this.ids, path);
      ok(fchownat(dir.fd(), '', uid, gid), `owner of '${path}'`);
    }
  }

  private async make(
    entry: Entry,
    parents: ByteString[],
    name: ByteString,
    data: AsyncIterable<Buffer | number>,
  ): Promise<void> {
    if (entry.type === 'directory') return this.makeDirectory(entry, parents, name);
    if (name === '') throw new SysError(E.EINVAL, `the layer's root is a ${entry.type} in the tar`);
    if (!this.privileged && (entry.type === 'char' || entry.type === 'block')) {
      this.notes.add('is a device node, which can only be made with privilege', entry.path);
      return;
    }
    if (entry.type === 'link') return this.makeLink(entry, parents, name);
    const { dir, defaultAcl } = this.target.enter(parents);
    this.clear(dir, name, entry.path);
    const fd = dir.fd();
    const what = `'${entry.path}'`;
    if (entry.type === 'file') this.bytes += await writeFile(dir, name, data, entry);
    else if (entry.type === 'symlink') {
      ok(symlinkat(entry.target, fd, name), what);
      this.targets += entry.target.length;
    } else ok(mknodat(fd, name, NODES[entry.type] | 0o600, entry.major, entry.minor), what);
    this.target.bring(entry.path);
    if (defaultAcl) this.attributes.removeInherited(dir, name);
    this.attributes.set(dir, name, entry);
  }

  /** Removes what is in the way of a file. */
  private clear(dir: RealDir, name: ByteString, path: ByteString): void {
    if (this.target.look(dir, name) === 'directory') {
      for (const key of this.directories.keys()) {
        if (key === path || key.startsWith(`${path}/`)) this.directories.delete(key);
      }
    }
    removeEntry(dir.fd(), name);
  }

  private makeLink(entry: Entry, parents: ByteString[], name: ByteString): void {
    const earlier = this.linkTarget(entry);
    try {
      const { dir } = this.target.enter(parents);
      if (earlier.name === name && earlier.dir.path() === dir.path()) {
        throw new SysError(E.EINVAL, `'${entry.path}' is a hard link to itself`);
      }
      this.clear(dir, name, entry.path);
      ok(linkat(earlier.dir.fd(), earlier.name, dir.fd(), name, 0), `'${entry.path}'`);
      this.target.bring(entry.path);
    } finally {
      releaseUpwards(earlier.dir);
    }
  }

  private makeDirectory(entry: Entry, parents: ByteString[], name: ByteString): void {
    let existed = true;
    if (name !== '') {
      const { dir, defaultAcl } = this.target.enter(parents);
      const present = this.target.look(dir, name);
      existed = present === 'directory';
      if (!existed) {
        this.target.makeDirectory(dir, name, present, 0o700);
        if (defaultAcl) this.attributes.removeInherited(dir, name);
      }
    }
    this.target.bring(entry.path);
    this.directories.set(entry.path, { entry, existed });
  }

  /** The earlier entry that a hard link names; symlinks in its path are not followed. */
  private linkTarget(entry: Entry): { dir: RealDir; name: ByteString } {
    const parents = splitPath(entry.target);
    const name = parents.pop() ?? '';
    let dir = this.target.root;
    for (const parent of parents) dir = dir.child(parent);
    const present = name === '' ? 'directory' : this.lookAt(dir, name);
    if (present === 'other') return { dir, name };
    releaseUpwards(dir);
    const rule = present === 'directory' ? 'is a directory' : 'is not in this layer';
    throw new SysError(E.EINVAL, `'${entry.path}': its hard link target '${entry.target}' ${rule}`);
  }

  private lookAt(dir: RealDir, name: ByteString): Present {
    try {
      return this.target.look(dir, name);
    } catch (error) {
      if (!ABSENT.some(errno => isErrno(error, errno))) throw error;
      return 'nothing';
    }
  }

  /** Directories get their attributes, the deepest first. */
  finish(): void {
    for (const path of [...this.directories.keys()].sort().reverse()) {
      const { entry, existed } = this.directories.get(path)!;
      const { dir } = this.target.find(path === '' ? [] : path.split('/'));
      if (existed) this.attributes.removeOthers(dir, entry);
      this.attributes.set(dir, '', entry);
    }
  }
}

const NODES = { char: S.IFCHR, block: S.IFBLK, fifo: S.IFIFO } as const;
/** A path that leads nowhere, or through something that is no directory. */
const ABSENT = [E.ENOENT, E.ENOTDIR, E.ELOOP];

/** A whiteout as kernel overlayfs stores it, in a tar made of its upper directory by other tools. */
function isDeviceWhiteout(entry: Entry): boolean {
  return entry.type === 'char' && entry.major === 0 && entry.minor === 0;
}
