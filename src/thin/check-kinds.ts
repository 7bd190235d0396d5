// Every kind of damage that a pool's metadata can have: what it is called, how bad it is, and what repair may do about it.
// The table is the documentation; check finds, repair obeys.

/**
 * What repair does. `always`: the right value follows from the row itself, or raising it can lose nothing. `whole`: mended
 * when everything that the volumes refer to could be read, since what is free is known only then. `never`: reported.
 */
export type Mend = 'always' | 'whole' | 'never';

export interface Kind {
  /** `leak`: space or a number is lost, no data is in danger. `bad`: data or metadata is lost, or will be by the next write. */
  readonly severity: 'leak' | 'bad';
  readonly mend: Mend;
  /** A part of a map could not be read or believed: what lies below it is unknown. */
  readonly hides: boolean;
  readonly sentence: string;
}

function leak(mend: Mend, sentence: string): Kind {
  return { severity: 'leak', mend, hides: false, sentence };
}

function bad(mend: Mend, sentence: string): Kind {
  return { severity: 'bad', mend, hides: false, sentence };
}

function hidden(sentence: string): Kind {
  return { severity: 'bad', mend: 'never', hides: true, sentence };
}

export const KINDS = {
  database: hidden('SQLite cannot read the database, or finds it damaged'),
  tables: hidden('a table is missing, or is not as this version makes it'),
  pool: hidden('the row of the pool has a value that cannot be'),
  'needs-check': leak('whole', 'an earlier failure asked for a check'),
  'data-file': bad('never', 'the data file is missing or shorter than the pool'),

  'volume-row': hidden('the row of the volume has a value that cannot be'),
  'volume-name': bad('never', 'the name cannot be, or is taken twice'),
  'volume-guid': bad('never', 'two volumes have one guid, and one of them may be written'),
  depth: hidden('the height of the map does not fit the size of the volume'),
  mapped: leak('whole', 'the number of mapped blocks is wrong'),
  'beyond-end': bad('never', 'blocks are mapped beyond the end of the volume'),
  'volume-time': bad('never', 'a time of the volume is later than the pool'),
  held: bad('never', 'the metadata snapshot is half there'),

  'page-missing': hidden('a page is named that does not exist'),
  'page-length': hidden('the page has a wrong length'),
  'page-heights': hidden('the page is reached at two heights, or is part of a circle'),
  'page-empty': leak('whole', 'the page maps nothing'),
  'page-leaked': leak('whole', 'nothing refers to the page'),
  entry: hidden('an entry of the page cannot be'),
  'block-range': hidden('blocks are named that the pool does not have'),
  'mapping-time': bad('never', 'mappings are later than the pool'),

  'page-count-high': leak('whole', 'the reference count is too high'),
  'page-count-low': bad('always', 'the reference count is too low'),
  'data-count-high': leak('whole', 'the reference count is too high'),
  'data-count-low': bad('always', 'the reference count is too low'),
  'chunk-length': bad('whole', 'the row of reference counts has a wrong length'),
  'chunk-free': leak('always', 'the number of zero counts is wrong'),
  'chunk-zeros': leak('always', 'the row holds only zeros'),
  'chunk-id': leak('whole', 'a row of reference counts is for nothing that can be'),
  doomed: bad('whole', 'the note of a page to be taken apart is wrong'),
} as const satisfies Record<string, Kind>;

export type FindingKind = keyof typeof KINDS;

/** One finding: what, where, and what exactly. */
export interface Finding {
  readonly kind: FindingKind;
  readonly severity: Kind['severity'];
  /** `page 7`, `data blocks 5..9`, `volume a`. */
  readonly place: string;
  /** The kind's sentence with the numbers of this case. */
  readonly text: string;
}

/** Takes what is found; `detail` says the numbers of the case. */
export type Report = (kind: FindingKind, place: string, detail?: string) => void;

export function kindOf(kind: FindingKind): Kind {
  return KINDS[kind];
}

export function findingOf(kind: FindingKind, place: string, detail?: string): Finding {
  const { severity, sentence } = KINDS[kind];
  return { kind, severity, place, text: detail === undefined ? sentence : `${sentence}: ${detail}` };
}
