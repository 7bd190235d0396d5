// The names in a layer tar, checked: what is made must lie in the layer, whatever the tar says.
import { type ByteString, E, SysError } from '../base/index.js';
import { nameKind, whitedOutName } from '../layer/index.js';

/** Longest path (bytes) that is taken; the kernel's PATH_MAX without its NUL. */
const PATH_LIMIT = 4095;

/** Where an entry goes, and what it is by its name. */
export interface TarPath {
  parents: ByteString[];
  /** '' is the layer's root. For a whiteout the name that it deletes. */
  name: ByteString;
  /** `ignored`: AUFS keeps its own affairs there. */
  kind: 'plain' | 'whiteout' | 'opaque' | 'ignored';
}

function refuse(path: ByteString, rule: string): SysError {
  const shown = path.length > 200 ? `${path.slice(0, 200)}...` : path;
  return new SysError(E.EINVAL, `layer tar: '${shown}' ${rule}`);
}

/** The components of a path from the layer's root; leading slashes, `.` and empty ones say nothing. */
export function splitPath(path: ByteString): ByteString[] {
  if (path.length > PATH_LIMIT) throw refuse(path, `is longer than ${PATH_LIMIT} bytes`);
  if (path === '') throw refuse(path, 'is an empty name');
  const names = path.split('/').filter(name => name !== '' && name !== '.');
  if (names.includes('..')) throw refuse(path, "leads out of the layer: '..'");
  return names;
}

/** Takes an entry's name apart. Throws EINVAL for names that a layer cannot have. */
export function parseTarPath(path: ByteString): TarPath {
  const names = splitPath(path);
  const name = names.pop() ?? '';
  for (const parent of names) {
    const kind = nameKind(parent);
    if (kind === 'internal') return { parents: [], name, kind: 'ignored' };
    if (kind !== 'plain') throw refuse(path, 'lies in a directory with the reserved name of a whiteout');
  }
  const kind = nameKind(name);
  const deleted = kind === 'plain' ? '' : whitedOutName(name);
  if (kind === 'plain' || kind === 'opaque') return { parents: names, name, kind };
  if (deleted === '' || deleted === '.' || deleted === '..') throw refuse(path, 'is a whiteout of no name');
  if (kind === 'internal') return { parents: [], name, kind: 'ignored' };
  return { parents: names, name: deleted, kind };
}
