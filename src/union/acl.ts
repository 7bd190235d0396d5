// POSIX ACLs as extended attributes (format: linux/posix_acl_xattr.h): inheritance by what is made elsewhere and moved into
// a directory with a default ACL (acl(5), "OBJECT CREATION AND DEFAULT ACLs"), and translation of the ids in them.
import { type ByteString, ok } from '../base/index.js';
import { ACL } from '../layer/index.js';
import { getxattr, setxattr } from '../sys/index.js';

const { access: ACCESS, default: DEFAULT } = ACL;
const HEADER = 4;
const ENTRY = 8;
const TAG = { userObj: 0x01, user: 0x02, groupObj: 0x04, group: 0x08, mask: 0x10, other: 0x20 };

/** What a new object gets: its permission bits, and the ACLs to set on it. */
export interface Inherited {
  readonly mode: number;
  readonly access: Buffer | null;
  readonly inheritable: Buffer;
}

/** Reads the default ACL of a directory and applies it to a requested mode; null without one. */
export function inherit(dirfd: number, mode: number): Inherited | null {
  const acl = getxattr(dirfd, '', DEFAULT);
  if (typeof acl === 'number' || acl.length < HEADER) return null;
  const access = Buffer.from(acl);
  const entries = Math.floor((acl.length - HEADER) / ENTRY);
  let hasMask = false;
  for (let i = 0; i < entries; i++) hasMask ||= access.readUInt16LE(HEADER + i * ENTRY) === TAG.mask;
  let result = mode & ~0o777;
  for (let i = 0; i < entries; i++) {
    const at = HEADER + i * ENTRY;
    const tag = access.readUInt16LE(at);
    const shift = shiftOf(tag, hasMask);
    if (shift < 0) continue;
    const granted = access.readUInt16LE(at + 2) & (mode >> shift) & 7;
    access.writeUInt16LE(granted, at + 2);
    result |= granted << shift;
  }
  return { mode: result, access: entries > 3 ? access : null, inheritable: acl };
}

/** Which mode bits an entry limits and shows as; the group's entry only where there is no mask. */
function shiftOf(tag: number, hasMask: boolean): number {
  if (tag === TAG.userObj) return 6;
  if (tag === TAG.other) return 0;
  return tag === (hasMask ? TAG.mask : TAG.groupObj) ? 3 : -1;
}

/** Sets inherited ACLs on the new object. */
export function setInherited(dirfd: number, name: string, inherited: Inherited, isDirectory: boolean): void {
  if (inherited.access !== null) ok(setxattr(dirfd, name, ACCESS, inherited.access, 0), `ACL of ${name}`);
  if (isDirectory) ok(setxattr(dirfd, name, DEFAULT, inherited.inheritable, 0), `default ACL of ${name}`);
}

/** The value with the ids in it translated, when it is an ACL; else itself. */
export function mapAclIds(
  name: ByteString,
  value: Buffer,
  uid: (id: number) => number,
  gid: (id: number) => number,
): Buffer {
  if (name !== ACCESS && name !== DEFAULT) return value;
  const mapped = Buffer.from(value);
  for (let at = HEADER; at + ENTRY <= mapped.length; at += ENTRY) {
    const tag = mapped.readUInt16LE(at);
    if (tag === TAG.user) mapped.writeUInt32LE(uid(mapped.readUInt32LE(at + 4)), at + 4);
    if (tag === TAG.group) mapped.writeUInt32LE(gid(mapped.readUInt32LE(at + 4)), at + 4);
  }
  return mapped;
}
