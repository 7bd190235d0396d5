// The merged map of a directory: built once from the listings of its real directories, and then the truth, because lower
// layers do not change and the upper changes only through us. Big directories are listed on a worker; until that is done
// single names are looked for in the layers.
import { type ByteString, DT, E, isErrno, modeToType, Stat } from '../base/index.js';
import {
  isReservedName,
  isVeiled,
  type Listing,
  list,
  listSlowly,
  type RealDir,
  statIsWhiteout,
  whiteoutFileName,
} from '../layer/index.js';
import { AT, faccessat, statx } from '../sys/index.js';
import { type Dir, Entry, Node } from './node.js';

/** A real directory of this size (bytes, as stat gives it) or more is not listed while somebody waits. */
const BIG = 512 * 1024;

/** What the layers say of one name. */
interface Found {
  readonly entry: Entry | null;
  /** A lower layer shows the name beneath the upper's entry. */
  readonly covered: boolean;
  readonly whiteout: boolean;
}

/** Merges listings, top first. */
class Merger {
  readonly entries = new Map<ByteString, Entry>();
  readonly covered = new Set<ByteString>();
  readonly whiteouts = new Set<ByteString>();
  /** Names below which nothing shows. */
  private readonly closed = new Set<ByteString>();
  private readonly closing: ByteString[] = [];

  /** Takes one real directory's listing; `end` must follow. */
  begin(real: RealDir): Listing {
    const isUpper = real.layer.writable;
    return {
      entry: (name, type, ino) => this.add(real, name, type, ino),
      whiteout: name => {
        this.closing.push(name);
        if (isUpper) this.whiteouts.add(name);
      },
    };
  }

  end(): void {
    for (const name of this.closing) this.closed.add(name);
    this.closing.length = 0;
  }

  private add(real: RealDir, name: ByteString, type: number, ino: number): void {
    const above = this.entries.get(name);
    if (above === undefined) {
      if (!this.closed.has(name)) this.entries.set(name, new Entry(real, type, ino, null));
      return;
    }
    if (this.closed.has(name)) return;
    if (above.real.layer.writable) this.covered.add(name);
    if (above.type === DT.DIR && type === DT.DIR) {
      const more = above.more === null ? [real] : [...above.more, real];
      this.entries.set(name, new Entry(above.real, above.type, above.ino, more));
    } else this.closing.push(name);
  }
}

const scratch = new Stat();

/** Does one of the real directories have very many entries? */
function isBig(dir: Dir): boolean {
  return dir.reals.some(
    real => statx(real.fd(), '', AT.EMPTY_PATH, scratch.slots) >= 0 && scratch.size >= BIG,
  );
}

/** What is known or can be found out about `name`, without listing a big directory. */
export function find(dir: Dir, name: ByteString): Entry | Node | undefined {
  const known = dir.names.get(name);
  if (known !== undefined || dir.complete) return known;
  if (dir.listing === null) {
    if (!isBig(dir)) {
      if (listNow(dir)) return dir.names.get(name);
    } else {
      // Whoever lists the directory is told why that fails; who looks for a name is answered without a listing.
      completeSlowly(dir).catch(() => {});
    }
  }
  if (isReservedName(name)) return undefined;
  const found = probe(dir, name);
  if (found.covered) dir.cover(name);
  if (found.whiteout) dir.addWhiteout(name);
  if (found.entry !== null) dir.put(name, found.entry);
  return found.entry ?? undefined;
}

/** Makes the map whole, waiting for a worker where the directory is big. */
export function complete(dir: Dir): void | Promise<void> {
  if (dir.complete) return;
  if (dir.listing !== null) return dir.listing;
  if (isBig(dir)) return completeSlowly(dir);
  completeNow(dir);
}

/** False for a directory that may be searched but not read (mode 0711, somebody else's). */
function listNow(dir: Dir): boolean {
  try {
    completeNow(dir);
    return true;
  } catch (error) {
    if (isErrno(error, E.EACCES)) return false;
    throw error;
  }
}

function completeNow(dir: Dir): void {
  const merger = new Merger();
  for (const real of dir.reals) {
    list(real, merger.begin(real));
    merger.end();
  }
  adopt(dir, merger);
}

function completeSlowly(dir: Dir): Promise<void> {
  const work = async () => {
    // Whoever changes the directory meanwhile makes the listing stale. After three tries the change must wait instead.
    for (let attempt = 0; attempt < 3; attempt++) {
      const merger = new Merger();
      const version = dir.version;
      for (const real of [...dir.reals]) {
        await listSlowly(real, merger.begin(real));
        merger.end();
      }
      if (dir.complete) return;
      if (dir.version === version) return adopt(dir, merger);
    }
    completeNow(dir);
  };
  dir.listing = work().finally(() => {
    dir.listing = null;
  });
  return dir.listing;
}

/** Takes over a listing, keeping the nodes that exist already. */
function adopt(dir: Dir, merger: Merger): void {
  const names: Map<ByteString, Entry | Node> = merger.entries;
  for (const [name, child] of dir.names) if (child instanceof Node) names.set(name, child);
  dir.replaceAll(names);
  dir.covered = merger.covered.size > 0 ? merger.covered : null;
  dir.whiteouts = merger.whiteouts.size > 0 ? merger.whiteouts : null;
  dir.complete = true;
}

/** Looks for one name from the top layer down. */
function probe(dir: Dir, name: ByteString): Found {
  let top: { real: RealDir; type: number; ino: number } | null = null;
  const more: RealDir[] = [];
  let covered = false;
  let whiteout = false;
  for (const real of dir.reals) {
    const fd = real.fd();
    const dotWhiteout = faccessat(fd, whiteoutFileName(name), 0, AT.SYMLINK_NOFOLLOW) >= 0;
    const present = statx(fd, name, AT.SYMLINK_NOFOLLOW, scratch.slots) >= 0;
    const type = present && isVeiled(real, name, scratch) ? DT.CHR : modeToType(scratch.mode);
    if (present && statIsWhiteout(real, name, scratch)) {
      whiteout ||= real.layer.writable;
      break;
    }
    if (present) {
      if (top === null) top = { real, type, ino: scratch.ino };
      else if (top.real.layer.writable) covered = true;
      if (type !== DT.DIR || top.type !== DT.DIR) {
        if (top.real !== real || !top.real.layer.writable || dotWhiteout) break;
      } else if (top.real !== real) more.push(real);
    }
    if (dotWhiteout) {
      whiteout ||= real.layer.writable;
      break;
    }
  }
  const entry = top === null ? null : new Entry(top.real, top.type, top.ino, more.length > 0 ? more : null);
  return { entry, covered, whiteout };
}
