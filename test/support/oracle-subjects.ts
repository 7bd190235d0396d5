// What the contract tables run over beside kernel overlayfs, and what each cannot carry. LAMINA_SUBJECTS (names with
// commas between) narrows the list by hand.
import { hasRing } from './needs.js';
import type { Blur, Candidate } from './oracle-contract.js';
import type { Feature } from './oracle-row.js';
import { fuseNative, lamina, laminaRing } from './subject.js';
import { memory } from './subject-memory.js';

/** libfuse 2 knows neither these operations nor inode identity (see src/fuse/README.md). */
const beyondLibfuse2: readonly Feature[] = [
  'rename-flags',
  'identity',
  'tmpfile',
  'fallocate',
  'seek',
  'copy-range',
  'file-flags',
  'acl',
  'unlinked',
  'callers',
  'exact-times',
  'raw-names',
  'devices',
];

/** libfuse 2 gives neither types nor inode numbers in listings, no link counts to trust, and times in milliseconds. */
const libfuse2: Blur = {
  line: text =>
    text
      .replace(/ links \d+/, '')
      .replace(/ \| same as [^|]*(?= \||$)/, '')
      .replace(/ (-?\d+\.\d+|recent)(?= \||$)/, ''),
  outcome: text => text.replace(/:\d+(?= |$)/g, '').replace(/^(\w+ \d+ \d+:?\d*) \d+ (\d+)$/, '$1 $2'),
};

/** What only a kernel does; the memory channel has none. */
const beyondMemory: readonly Feature[] = ['vfs', 'locks', 'file-flags', 'acl', 'unlinked', 'statfs'];

const all: readonly Candidate[] = [
  { subject: lamina, lacks: new Set() },
  ...(hasRing() ? [{ subject: laminaRing, lacks: new Set<Feature>() }] : []),
  { subject: fuseNative, lacks: new Set(beyondLibfuse2), blur: libfuse2 },
  // Last: the union in this process takes its capabilities for every file system id, and rows of the others need them gone.
  { subject: memory, lacks: new Set(beyondMemory) },
];

const wanted = process.env.LAMINA_SUBJECTS?.split(',');

export const candidates: readonly Candidate[] =
  wanted === undefined ? all : all.filter(({ subject }) => wanted.includes(subject.name));
