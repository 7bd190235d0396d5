// Owner, mode, xattrs and times of what a layer tar makes, in the order in which they do not undo each other: a change of
// owner clears setuid and capabilities, a change of mode changes an ACL.
import { type ByteString, E, ok, S } from '../base/index.js';
import { ACL, type Namespace, type RealDir, XattrNames } from '../layer/index.js';
import { fchmodat, fchownat, listxattr, removexattr, setxattr, UTIME, utimensat } from '../sys/index.js';
import type { Notes } from './apply-notes.js';
import type { Entry } from './entry.js';
import { isPrivateNote, shownName } from './xattr-names.js';

export interface AttributeRules {
  /** May owners and devices be set? */
  privileged: boolean;
  /** The layer is for a union: users' xattrs that look like private notes are stored escaped. */
  asLayer: boolean;
  /** No union will ever see it: xattrs are what they are. */
  plain: boolean;
  namespace: Namespace;
}

/** Sets attributes as an entry says. */
export class Attributes {
  private readonly names: XattrNames;

  constructor(
    private readonly rules: AttributeRules,
    private readonly notes: Notes,
  ) {
    this.names = new XattrNames(rules.namespace);
  }

  /** Sets all attributes of the entry `name` of `dir`; name '' is the directory itself. */
  set(dir: RealDir, name: ByteString, entry: Entry): void {
    const fd = dir.fd();
    const { path, type } = entry;
    if (this.rules.privileged) ok(fchownat(fd, name, entry.uid, entry.gid), `owner of ${path}`);
    else this.noteOwner(entry);
    if (type !== 'symlink') ok(fchmodat(fd, name, this.mode(entry)), `mode of ${path}`);
    for (const [xattr, value] of entry.xattrs) this.setXattr(fd, name, path, xattr, value);
    ok(utimensat(fd, name, 0, UTIME.OMIT, entry.mtime, entry.mtimeNsec), `time of ${path}`);
  }

  /** Takes away the xattrs that a directory had before and the entry does not have: attributes are replaced. */
  removeOthers(dir: RealDir, entry: Entry): void {
    const stored = listxattr(dir.fd(), '');
    if (typeof stored === 'number') {
      if (stored !== -E.EOPNOTSUPP) ok(stored, `xattrs of ${entry.path}`);
      return;
    }
    for (const name of stored) {
      const shown = shownName(name, this.rules.plain);
      // Other security.* xattrs belong to the host's security modules.
      const isHosts = name.startsWith('security.') && name !== 'security.capability';
      if (shown === null || isHosts || entry.xattrs.has(shown)) continue;
      const rc = removexattr(dir.fd(), '', name);
      if (rc !== -E.EPERM) ok(rc, `${name} of ${entry.path}`);
    }
  }

  /** Undoes what a new file took over from the default ACL of the directory. */
  removeInherited(dir: RealDir, name: ByteString): void {
    for (const acl of [ACL.access, ACL.default]) {
      const rc = removexattr(dir.fd(), name, acl);
      if (rc !== -E.ENODATA && rc !== -E.EOPNOTSUPP) ok(rc, `${acl} of ${name}`);
    }
  }

  private mode(entry: Entry): number {
    const special = entry.mode & (S.ISUID | S.ISGID);
    if (this.rules.privileged || special === 0) return entry.mode;
    this.notes.add('setuid and setgid were left out, since the owner could not be set', entry.path);
    return entry.mode & ~(S.ISUID | S.ISGID);
  }

  private noteOwner(entry: Entry): void {
    if (entry.uid === process.geteuid?.() && entry.gid === process.getegid?.()) return;
    this.notes.add('belongs to you, since its owner can only be set with privilege', entry.path);
  }

  private setXattr(
    fd: number,
    name: ByteString,
    path: ByteString,
    xattr: ByteString,
    value: Uint8Array,
  ): void {
    const stored = this.storedName(xattr);
    if (stored === null) {
      this.notes.add(`the xattr ${xattr} was left out: it is a private note of a union mount`, path);
      return;
    }
    const rc = setxattr(fd, name, stored, value);
    if (rc === -E.EPERM || rc === -E.EOPNOTSUPP)
      this.notes.add(`the xattr ${xattr} cannot be set here`, path);
    else ok(rc, `xattr ${xattr} of ${path}`);
  }

  private storedName(shown: ByteString): ByteString | null {
    if (this.rules.plain) return shown;
    const stored = this.rules.asLayer ? this.names.stored(shown) : shown;
    return isPrivateNote(stored) ? null : stored;
  }
}
