// How layers spell deletions and private notes: every literal of kernel overlayfs, fuse-overlayfs, AUFS and OCI is here
// and nowhere else. Formats: kernel Documentation/filesystems/overlayfs.rst, OCI image-spec layer.md, aufs(5).
import { type ByteString, E } from '../base/index.js';

/** AUFS and OCI: `.wh.NAME` deletes NAME of the layers below. */
const WHITEOUT_PREFIX = '.wh.';
/** AUFS's own names; only the opaque mark means something to us. */
const AUFS_PREFIX = '.wh..wh.';
/** A directory with this entry hides what lower layers have in it. */
export const OPAQUE_MARK = '.wh..wh..opq';

/** POSIX ACLs as extended attributes (acl(5)). */
export const ACL = Object.freeze({
  prefix: 'system.posix_acl_',
  access: 'system.posix_acl_access',
  default: 'system.posix_acl_default',
});

/** Which xattr name space holds the private notes of a mount: `trusted` with privilege, `user` without. */
export type Namespace = 'trusted' | 'user';

const OVERLAY = 'overlay.';
const FUSE_OVERLAYFS = 'user.fuseoverlayfs.';
/** Where fuse-overlayfs and containers-storage keep owner and mode that the file system cannot hold. */
const OVERRIDE_STAT = Object.freeze({
  security: 'security.fuseoverlayfs.override_stat',
  user: 'user.containers.override_stat',
});
const OPAQUE_NAMES = ['trusted.overlay.opaque', 'user.overlay.opaque', `${FUSE_OVERLAYFS}opaque`];
const WHITEOUT_NAMES = ['trusted.overlay.whiteout', 'user.overlay.whiteout'];

/** The private notes that kernel overlayfs keeps on files. */
export type Note =
  | 'opaque'
  | 'redirect'
  | 'origin'
  | 'impure'
  | 'nlink'
  | 'upper'
  | 'metacopy'
  | 'whiteout'
  | 'uuid'
  | 'protattr';

/** Our own notes, for what no other format can say; kernel overlayfs hides and ignores them. */
const LAMINA = `${OVERLAY}lamina.`;

/**
 * `veil` on an empty file: users see a character device 0/0. `veils` on a directory: it has (had) such files. `unsynced` on a
 * copy: its data may not be on the disk (see unsynced.ts).
 */
export type OwnNote = 'veil' | 'veils' | 'unsynced';

/** The full xattr name of one of our own notes. */
export function ownNoteName(namespace: Namespace, note: OwnNote): ByteString {
  return `${namespace}.${LAMINA}${note}`;
}

/** The full xattr name of a note. */
export function noteName(namespace: Namespace, note: Note): ByteString {
  return `${namespace}.${OVERLAY}${note}`;
}

/** The xattr in which owner and mode are kept for `xattr_permissions`. */
export function overrideStatName(kind: 'security' | 'user'): ByteString {
  return OVERRIDE_STAT[kind];
}

/** What a name in a layer says by itself. */
export type NameKind = 'plain' | 'whiteout' | 'opaque' | 'internal';

export function nameKind(name: ByteString): NameKind {
  if (name.charCodeAt(0) !== 46 || !name.startsWith(WHITEOUT_PREFIX)) return 'plain';
  if (name === OPAQUE_MARK) return 'opaque';
  if (name.startsWith(AUFS_PREFIX)) return 'internal';
  return name.length > WHITEOUT_PREFIX.length ? 'whiteout' : 'internal';
}

/** The name that `.wh.NAME` deletes. */
export function whitedOutName(name: ByteString): ByteString {
  return name.slice(WHITEOUT_PREFIX.length);
}

/** The `.wh.` file that deletes `name`. */
export function whiteoutFileName(name: ByteString): ByteString {
  return WHITEOUT_PREFIX + name;
}

/** May a user create this name? A `.wh.` name would be read as a deletion. */
export function isReservedName(name: ByteString): boolean {
  return nameKind(name) !== 'plain';
}

/** xattr names that make a directory opaque, in the order to look. */
export function opaqueNames(): readonly ByteString[] {
  return OPAQUE_NAMES;
}

/** xattr names that make an empty file a whiteout in a directory whose opaque note is "x". */
export function xattrWhiteoutNames(): readonly ByteString[] {
  return WHITEOUT_NAMES;
}

/** How xattr names look from inside and outside of a mount whose notes are in one name space. */
export class XattrNames {
  private readonly prefix: ByteString;

  constructor(
    readonly namespace: Namespace,
    /** Where owner and mode are kept, when not in the inode (see overrideStatName). */
    readonly ownerNote: ByteString | null = null,
  ) {
    this.prefix = `${namespace}.${OVERLAY}`;
  }

  /** Is this stored name a private note of the mount or of fuse-overlayfs (not shown, not copied up)? */
  isPrivate(stored: ByteString): boolean {
    if (stored.startsWith(this.prefix)) return !stored.startsWith(OVERLAY, this.prefix.length);
    return stored.startsWith(FUSE_OVERLAYFS) || stored === this.ownerNote;
  }

  /** Is this a note that says the same of the layers below as we have read it for: lost when its directory is copied up? */
  isOpaqueNote(stored: ByteString): boolean {
    return OPAQUE_NAMES.includes(stored);
  }

  /** The name under which a user's xattr is stored: an overlay inside the mount gets one escape. */
  stored(shown: ByteString): ByteString {
    return shown.startsWith(this.prefix) ? this.prefix + OVERLAY + shown.slice(this.prefix.length) : shown;
  }

  /** The name that users see, or null for a private one. */
  shown(stored: ByteString): ByteString | null {
    if (this.isPrivate(stored)) return null;
    if (!stored.startsWith(this.prefix)) return stored;
    return this.prefix + stored.slice(this.prefix.length + OVERLAY.length);
  }

  /** errno for a user who names one of fuse-overlayfs's private xattrs, or 0. */
  refusal(shown: ByteString): number {
    if (shown.startsWith(this.prefix)) return 0;
    return this.isPrivate(shown) ? E.EPERM : 0;
  }
}
