// Promise 1 as a check: everything that can be known of a lower layer, so that nothing can have changed when two
// fingerprints are equal: bytes, every stat field with atime and ctime, inode numbers, link counts, xattrs, block counts.
// It looks through a private clone of the mount without atime updates, so that looking changes nothing.
import { createHash } from 'node:crypto';
import { ok, S, STAT_SLOTS, Stat } from '../../src/base/index.js';
import { AT, clonePrivate, native, O } from '../../src/sys/index.js';
import { SystemView } from './tree.js';

/** What a mount's own life may change, and what belongs to the mount rather than to the file. */
const ignored = new Set<string>(['mountId', 'mask']);

/** One line per file of the directory `path`, in order of path. */
export function fingerprint(path: string): string[] {
  const root = ok(clonePrivate(AT.FDCWD, path), `clone ${path}`);
  try {
    // An O_PATH descriptor cannot be read through; a real one of the same mount can.
    const fd = ok(native.openat2(root, '.', O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0, 0), path);
    try {
      return linesOf(new SystemView(fd));
    } finally {
      native.close(fd);
    }
  } finally {
    native.close(root);
  }
}

function linesOf(view: SystemView): string[] {
  const lines: string[] = [];
  const visit = (path: string): void => {
    const stat = new Stat();
    view.stat(path, stat);
    lines.push(lineOf(view, path, stat));
    if ((stat.mode & S.IFMT) !== S.IFDIR) return;
    const names = view.list(path).map(entry => entry.name);
    for (const name of names.sort()) visit(path === '' ? name : `${path}/${name}`);
  };
  visit('');
  return lines;
}

function lineOf(view: SystemView, path: string, stat: Stat): string {
  const slots = STAT_SLOTS.filter(name => !ignored.has(name)).map(
    name => `${name} ${stat.slots[STAT_SLOTS.indexOf(name)]}`,
  );
  const kind = stat.mode & S.IFMT;
  const content =
    kind === S.IFREG
      ? createHash('sha1').update(view.read(path, stat.size)).digest('hex')
      : kind === S.IFLNK
        ? view.readlink(path)
        : '';
  const xattrs = view
    .xattrs(path)
    .map(([name, value]) => `${name}=${Buffer.from(value, 'latin1').toString('hex')}`);
  return [path || '/', slots.join(' '), content, xattrs.sort().join(' ')].join(' | ');
}
