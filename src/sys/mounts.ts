// Mounts: what is mounted where (proc_pid_mountinfo(5)), and private read-only clones of a mount.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { ByteString } from '../base/index.js';
import { AT, MOUNT_ATTR, OPEN_TREE } from './constants.js';
import { native } from './native.js';

/** One line of /proc/self/mountinfo, in its order: later mounts cover earlier ones. */
export interface Mount {
  readonly id: number;
  readonly parentId: number;
  readonly devMajor: number;
  readonly devMinor: number;
  /** The directory of the file system that is mounted. */
  readonly root: ByteString;
  readonly mountpoint: ByteString;
  /** Per-mount options, such as `ro` or `nosuid`. */
  readonly options: readonly ByteString[];
  /** Propagation: `shared:N`, `master:N`, and so on. */
  readonly propagation: readonly ByteString[];
  /** The file system type, with its subtype: `fuse.lamina`. */
  readonly type: ByteString;
  readonly source: ByteString;
  readonly superOptions: readonly ByteString[];
}

function unescapeOctal(text: ByteString): ByteString {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function parseLine(line: ByteString): Mount {
  const fields = line.split(' ');
  const dash = fields.indexOf('-', 6);
  const field = (index: number): ByteString => fields[index] ?? '';
  const [devMajor, devMinor] = field(2).split(':');
  return {
    id: Number(field(0)),
    parentId: Number(field(1)),
    devMajor: Number(devMajor),
    devMinor: Number(devMinor),
    root: unescapeOctal(field(3)),
    mountpoint: unescapeOctal(field(4)),
    options: field(5).split(','),
    propagation: fields.slice(6, dash),
    type: unescapeOctal(field(dash + 1)),
    source: unescapeOctal(field(dash + 2)),
    superOptions: field(dash + 3)
      .split(',')
      .map(unescapeOctal),
  };
}

/** The mounts in the text of a mountinfo file. */
export function parseMountinfo(text: ByteString): Mount[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(parseLine);
}

/** All mounts that this process sees. */
export function listMounts(): Mount[] {
  return mountsOf('self');
}

function mountsOf(pid: string): Mount[] {
  return parseMountinfo(readFileSync(`/proc/${pid}/mountinfo`, 'latin1'));
}

/** The file systems (`major:minor`) that processes with mount tables of their own see: containers, most of them. */
export function mountedElsewhere(): Set<string> {
  const seen = new Set([readlinkSync('/proc/self/ns/mnt')]);
  const found = new Set<string>();
  for (const pid of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue;
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (seen.has(namespace)) continue;
      for (const { devMajor, devMinor } of mountsOf(pid)) found.add(`${devMajor}:${devMinor}`);
      seen.add(namespace);
    } catch (error) {
      // It has ended since it was listed, or is a zombie; others of its namespace are looked at too.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }
  return found;
}

/**
 * A clone of the mount at `path`, without the mounts below it, that nobody else sees: read-only and without access times,
 * so that nothing done through it can change what is there. Needs CAP_SYS_ADMIN. Returns a descriptor of its root
 * (O_PATH, close-on-exec), or -errno; it lives as long as descriptors in it do.
 */
export function clonePrivate(dirfd: number, path: ByteString): number {
  const fd = native.openTree(dirfd, path, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | AT.EMPTY_PATH);
  if (fd < 0) return fd;
  const set = MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOATIME;
  const rc = native.mountSetattr(fd, '', AT.EMPTY_PATH, set, MOUNT_ATTR._ATIME);
  if (rc < 0) native.close(fd);
  return rc < 0 ? rc : fd;
}
