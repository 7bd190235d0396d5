// Which extended attributes a layer's files carry along: what users of a mount see, and no union's private notes,
// whichever union wrote them.
import type { ByteString } from '../base/index.js';
import { overrideStatName, XattrNames } from '../layer/index.js';

const SPELLINGS = [
  new XattrNames('trusted', overrideStatName('security')),
  new XattrNames('user', overrideStatName('user')),
];

/** Labels that belong to a host and not to a file: they mean nothing elsewhere. */
const HOST_LABELS: ReadonlySet<string> = new Set(['security.selinux', 'security.evm', 'system.nfs4_acl']);

/** Would some union take this xattr for a note of its own? */
export function isPrivateNote(stored: ByteString): boolean {
  return SPELLINGS.some(names => names.isPrivate(stored));
}

/** The name under which users see a stored xattr; null for what is not theirs. In a `plain` tree nothing is a union's. */
export function shownName(stored: ByteString, plain: boolean): ByteString | null {
  if (HOST_LABELS.has(stored)) return null;
  if (plain) return stored;
  return SPELLINGS.reduce<ByteString | null>((name, names) => name && names.shown(name), stored);
}
