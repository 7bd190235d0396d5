// What a mount is asked to be, as plain data: the parser's output, the union's and the mount's input. It can be sent to
// another process as JSON. Paths are byte strings.
import type { ByteString } from '../base/index.js';

/** An option is wrong. `option` names it, the message says which rule it breaks. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
  constructor(
    readonly option: string,
    rule: string,
  ) {
    super(`${option}: ${rule}`);
  }
}

/** A file that a layer holds with id `container + i` shows as `host + i`, for 0 <= i < `length`. */
export interface IdRange {
  readonly container: number;
  readonly host: number;
  readonly length: number;
}

/** What the FUSE mount itself is told, as distinct from the union in it. */
export interface MountFlags {
  /** The source shown in /proc/mounts. */
  fsname: ByteString;
  /** The type is shown as `fuse.<subtype>`. */
  subtype: ByteString;
  /** 'auto': when the daemon is root. */
  allowOther: boolean | 'auto';
  /** The kernel checks modes and ACLs against the caller; the union does not do it again. */
  defaultPermissions: boolean;
  nosuid: boolean;
  nodev: boolean;
  noexec: boolean;
  noatime: boolean;
  nodiratime: boolean;
  nosymfollow: boolean;
  sync: boolean;
  dirsync: boolean;
  /** Security labels (`context="..."` and its kin) for the data string of mount(2), verbatim. */
  labels: ByteString[];
}

/** What an upper holds: `bytes` are st_blocks * 512. */
export interface Usage {
  readonly bytes: number;
  readonly inodes: number;
}

export interface UnionConfig {
  /** Lower layers, topmost first; 1 to MAX_LOWERS. */
  lowers: ByteString[];
  /** null: a read-only view of the lowers. */
  upper: ByteString | null;
  /** null exactly when `upper` is. */
  work: ByteString | null;
  /** Every change is EROFS. True too when there is no upper. */
  readonly: boolean;
  /** 'auto': on with trusted.overlay.*, off with user.overlay.*, where the kernel does not follow redirects. */
  redirectDir: 'auto' | 'on' | 'follow' | 'nofollow' | 'off';
  /** 'auto': on where the layers have file handles. */
  index: 'auto' | 'on' | 'off';
  xino: 'auto' | 'on' | 'off';
  /** 'auto': user.overlay.* only where trusted.* cannot be written. */
  userxattr: 'auto' | 'on';
  /** A change of attributes alone copies no data of a lower file. */
  metacopy: boolean;
  /** No sync at all, and the work directory is marked until a clean end, as the kernel does. Implies fsync 'none'. */
  volatile: boolean;
  /** auto: a copied-up file is durable before it is visible; strict: directories too; none: fsync(2) does nothing. */
  fsync: 'auto' | 'strict' | 'none';
  /** Seconds for which the kernel may trust an entry, attributes, and the absence of a name. */
  timeouts: { entry: number; attr: number; negative: number };
  /** Empty: ids are shown as they are. */
  uidMap: IdRange[];
  gidMap: IdRange[];
  /** Every file shows as owned by this id; null: by its owner. */
  squashUid: number | null;
  squashGid: number | null;
  /** Where owner and mode are kept: 0 in the inode, 1 in security.*, 2 in user.* extended attributes. */
  xattrPermissions: 0 | 1 | 2;
  /** Directories show a link count of 1, without counting. */
  staticNlink: boolean;
  /** POSIX ACLs are offered. */
  acl: boolean;
  /** Extended attributes are offered. */
  xattrs: boolean;
  /** The most bytes and inodes that the upper may hold, as `usage` counts them; null: no limit. */
  size: number | null;
  inodes: number | null;
  /** What the upper holds at the start, or 'count' to walk it; null: usage is not kept, or, with a limit, counted. */
  usage: Usage | 'count' | null;
  mount: MountFlags;
  /** 'auto': where the kernel grants it; 'on': the mount fails otherwise. */
  passthrough: 'auto' | 'on' | 'off';
  transport: 'dev' | 'fuse-native';
  /** With transport 'dev': 'auto': io_uring where the kernel offers it; 'io_uring': the mount fails otherwise. */
  channel: 'auto' | 'dev' | 'io_uring';
  /** Microseconds of busy reading before the daemon sleeps. */
  spin: number;
  /** Seconds after which a request that nobody answers ends the mount; 0: never. */
  requestTimeout: number;
  /** Log every request. */
  debug: boolean;
  /** What was accepted although it changes nothing, and why: one sentence each. */
  notes: string[];
}

/** OVL_MAX_STACK of the kernel (fs/overlayfs/params.h). */
export const MAX_LOWERS = 500;

/** A mount with no options given. `lowers` has yet to be filled. */
export function defaultConfig(): UnionConfig {
  return {
    lowers: [],
    upper: null,
    work: null,
    readonly: false,
    redirectDir: 'auto',
    index: 'auto',
    xino: 'auto',
    userxattr: 'auto',
    metacopy: false,
    volatile: false,
    fsync: 'auto',
    timeouts: { entry: 1e9, attr: 1e9, negative: 1e9 },
    uidMap: [],
    gidMap: [],
    squashUid: null,
    squashGid: null,
    xattrPermissions: 0,
    staticNlink: false,
    acl: true,
    xattrs: true,
    size: null,
    inodes: null,
    usage: null,
    mount: {
      fsname: 'lamina',
      subtype: 'lamina',
      allowOther: 'auto',
      defaultPermissions: true,
      nosuid: false,
      nodev: false,
      noexec: false,
      noatime: false,
      nodiratime: false,
      nosymfollow: false,
      sync: false,
      dirsync: false,
      labels: [],
    },
    passthrough: 'auto',
    transport: 'dev',
    channel: 'auto',
    spin: 40,
    requestTimeout: 0,
    debug: false,
    notes: [],
  };
}
