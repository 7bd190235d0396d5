// The directory that a layer tar is applied to. Every parent is opened name by name and never through a symlink, so that
// nothing is made or removed outside, whatever the tar says.
import { type ByteString, E, ok, S, Stat, SysError } from '../base/index.js';
import {
  ACL,
  Layer,
  type Namespace,
  noteName,
  OPAQUE_MARK,
  type RealDir,
  readMarks,
  removeEntry,
  statIsWhiteout,
  whiteoutFileName,
} from '../layer/index.js';
import { AT, getxattr, mkdirat, mknodat, setxattr, statx, unlinkat } from '../sys/index.js';

const stat = new Stat();
const PARENT_MODE = 0o755;

/** What is under a name: nothing, a deletion, a directory or something else. */
export type Present = 'nothing' | 'whiteout' | 'directory' | 'other';

interface Step {
  dir: RealDir;
  /** New entries inherit its ACL. */
  defaultAcl: boolean;
}

export class Target {
  private readonly layer: Layer;
  private readonly steps: Step[];
  /** Paths that this layer has brought: its own deletions do not mean them. */
  private readonly brought = new Set<ByteString>();

  constructor(
    path: ByteString,
    /** Deletions are kept as marks for a union; otherwise they are carried out. */
    readonly asLayer: boolean,
    private readonly namespace: Namespace,
    /** Hears of a directory that was made on the way to something. `hidden`: layers below do not show theirs. */
    private readonly madeParent: (dir: RealDir, hidden: boolean) => void = () => {},
  ) {
    this.layer = Layer.open(path, true);
    this.steps = [this.step(this.layer.root)];
  }

  close(): void {
    this.leave(1);
    this.layer.close();
  }

  get root(): RealDir {
    return this.layer.root;
  }

  private step(dir: RealDir): Step {
    return { dir, defaultAcl: typeof getxattr(dir.fd(), '', ACL.default) !== 'number' };
  }

  private leave(depth: number): void {
    while (this.steps.length > depth) this.steps.pop()!.dir.release();
  }

  /** The directory `parents`; missing ones are made (0755). Throws ENOTDIR or ELOOP when one of them is no directory. */
  enter(parents: readonly ByteString[]): Step {
    return this.descend(parents, dir => this.makeParent(dir));
  }

  /** The directory `parents`, which must be there. */
  find(parents: readonly ByteString[]): Step {
    return this.descend(parents, () => false);
  }

  private descend(parents: readonly ByteString[], make: (dir: RealDir) => boolean): Step {
    let depth = 0;
    while (depth < parents.length && this.steps[depth + 1]?.dir.name === parents[depth]) depth++;
    this.leave(depth + 1);
    for (const name of parents.slice(depth)) {
      const dir = this.steps.at(-1)!.dir.child(name);
      this.open(dir, make);
      this.steps.push(this.step(dir));
    }
    return this.steps.at(-1)!;
  }

  private open(dir: RealDir, make: (dir: RealDir) => boolean): void {
    try {
      dir.fd();
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      if (make(dir)) return;
      throw new SysError(error.errno, `'${dir.path().slice(1)}' is no directory and must not be followed`);
    }
  }

  private makeParent(dir: RealDir): boolean {
    const { parent, name } = dir;
    if (parent === null) return false;
    const present = this.look(parent, name);
    if (present !== 'nothing' && present !== 'whiteout') return false;
    const hidden = present === 'whiteout' || this.steps.some(step => this.isOpaque(step.dir));
    this.makeDirectory(parent, name, present, PARENT_MODE);
    this.madeParent(dir, hidden);
    return true;
  }

  /** What `dir` has under `name`. */
  look(dir: RealDir, name: ByteString): Present {
    const rc = statx(dir.fd(), name, AT.SYMLINK_NOFOLLOW, stat.slots);
    if (rc === -E.ENOENT) return 'nothing';
    ok(rc, `${dir.describe()}/${name}`);
    if ((stat.mode & S.IFMT) === S.IFDIR) return 'directory';
    return statIsWhiteout(dir, name, stat) ? 'whiteout' : 'other';
  }

  /** Makes a directory in place of `present`. In a layer it then hides what that hid. */
  makeDirectory(dir: RealDir, name: ByteString, present: Present, mode: number): void {
    if (present !== 'nothing') removeEntry(dir.fd(), name);
    ok(mkdirat(dir.fd(), name, mode), `${dir.describe()}/${name}`);
    if (this.asLayer && present !== 'nothing') this.setChildOpaque(dir, name);
  }

  /** The layer has brought `path`. */
  bring(path: ByteString): void {
    this.brought.add(path);
  }

  /** Deletes `name` of the layers below, and here what this layer has not brought itself. */
  hide(dir: RealDir, name: ByteString, path: ByteString): void {
    const left = this.prune(dir, name, path);
    if (!this.asLayer) return;
    if (left === 'nothing' && !this.isOpaque(dir)) this.writeWhiteout(dir, name);
    else if (left === 'directory') this.setChildOpaque(dir, name);
  }

  /** Deletes all that the layers below have in `dir`, and here what this layer has not brought itself. */
  hideAll(dir: RealDir, path: ByteString): void {
    for (const name of dir.names()) this.prune(dir, name, path === '' ? name : `${path}/${name}`);
    if (this.asLayer) this.setOpaque(dir);
  }

  /** Removes what is under `name` but for what this layer has brought, and says what is left. */
  private prune(dir: RealDir, name: ByteString, path: ByteString): Present {
    const present = this.look(dir, name);
    if (present === 'directory') {
      const child = dir.child(name);
      let empty = true;
      for (const entry of child.names()) {
        if (this.prune(child, entry, `${path}/${entry}`) !== 'nothing') empty = false;
      }
      child.release();
      if (!empty || this.brought.has(path)) return 'directory';
    } else if (present === 'nothing' || this.brought.has(path)) return present;
    ok(unlinkat(dir.fd(), name, present === 'directory' ? AT.REMOVEDIR : 0), `${dir.describe()}/${name}`);
    return 'nothing';
  }

  /** Nothing below can show in an opaque directory, and kernel overlayfs would list a whiteout in it. */
  private isOpaque(dir: RealDir): boolean {
    return readMarks(dir, this.namespace, false).opaque === 'y';
  }

  private writeWhiteout(dir: RealDir, name: ByteString): void {
    const what = `whiteout of ${dir.describe()}/${name}`;
    const rc = mknodat(dir.fd(), name, S.IFCHR, 0, 0);
    if (rc === 0) return;
    if (rc !== -E.EPERM && rc !== -E.EOPNOTSUPP && rc !== -E.EINVAL) ok(rc, what);
    ok(mknodat(dir.fd(), whiteoutFileName(name), S.IFREG | 0o444, 0, 0), what);
  }

  private setChildOpaque(dir: RealDir, name: ByteString): void {
    const child = dir.child(name);
    this.setOpaque(child);
    child.release();
  }

  private setOpaque(dir: RealDir): void {
    const what = `opaque mark of ${dir.describe()}`;
    const rc = setxattr(dir.fd(), '', noteName(this.namespace, 'opaque'), Buffer.from('y'));
    if (rc === 0) return;
    if (rc !== -E.EPERM && rc !== -E.EOPNOTSUPP) ok(rc, what);
    const made = mknodat(dir.fd(), OPAQUE_MARK, S.IFREG | 0o444, 0, 0);
    if (made !== -E.EEXIST) ok(made, what);
  }
}
