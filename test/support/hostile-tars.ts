// Layer tars that try to write outside of their layer, each in one way, with what is to come of it.
import { spawnSync } from 'node:child_process';
import type { Scratch } from './cleanup.js';

/** A member for Python's tarfile: its name, type, and what it links to. */
interface Member {
  readonly name: string;
  readonly type: 'file' | 'dir' | 'symlink' | 'link';
  readonly target?: string;
}

export interface HostileTar {
  readonly name: string;
  /** The engine says so; otherwise the tar means something harmless. */
  readonly refused: boolean;
  /** `outside` is a directory of the host that must stay as it is. */
  entries(outside: string): readonly Member[];
}

const file = (name: string): Member => ({ name, type: 'file' });
const symlink = (name: string, target: string): Member => ({ name, type: 'symlink', target });
const link = (name: string, target: string): Member => ({ name, type: 'link', target });
const UP = '../'.repeat(12);

export const HOSTILE: readonly HostileTar[] = [
  {
    name: 'an absolute name lies in the layer',
    refused: false,
    entries: dir => [file(`${dir}/secret`), file('/lamina-hostile')],
  },
  { name: '.. in a name', refused: true, entries: dir => [file(`${UP}${dir.slice(1)}/new`)] },
  { name: '.. to the store', refused: true, entries: () => [file('../../../escaped')] },
  {
    name: 'through an absolute symlink',
    refused: true,
    entries: dir => [symlink('out', dir), file('out/new')],
  },
  {
    name: 'through a relative symlink',
    refused: true,
    entries: dir => [symlink('out', `${UP}${dir.slice(1)}`), file('out/new')],
  },
  {
    name: 'a hard link out of the layer',
    refused: true,
    entries: dir => [link('out', `${UP}${dir.slice(1)}/secret`)],
  },
  { name: 'a hard link to an absolute name', refused: true, entries: dir => [link('out', `${dir}/secret`)] },
  {
    name: 'a hard link through a symlink',
    refused: true,
    entries: dir => [symlink('d', dir), link('out', 'd/secret')],
  },
  {
    name: 'a whiteout through a symlink',
    refused: true,
    entries: dir => [symlink('out', dir), file('out/.wh.secret')],
  },
  { name: 'a whiteout of ..', refused: true, entries: () => [file('d/.wh...')] },
  {
    name: 'an opaque mark through a symlink',
    refused: true,
    entries: dir => [symlink('out', dir), file('out/.wh..wh..opq')],
  },
];

const MAKE = `
import json, sys, tarfile, io
types = {'file': tarfile.REGTYPE, 'dir': tarfile.DIRTYPE, 'symlink': tarfile.SYMTYPE, 'link': tarfile.LNKTYPE}
with tarfile.open(sys.argv[1], 'w') as tar:
    for member in json.load(sys.stdin):
        info = tarfile.TarInfo(member['name'])
        info.type = types[member['type']]; info.linkname = member.get('target', ''); info.mode = 0o644
        data = b'hostile' if member['type'] == 'file' and '.wh.' not in member['name'] else b''
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
`;

/** Writes the tar; its path. */
export function makeTar(s: Scratch, members: readonly Member[]): string {
  const path = s.path('hostile.tar');
  const made = spawnSync('python3', ['-c', MAKE, path], { input: JSON.stringify(members), encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  return path;
}
