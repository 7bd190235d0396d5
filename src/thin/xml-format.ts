// The elements of thin_dump's XML and their attributes in the order in which they are written (thin-provisioning-tools
// 0.9.0), and the comments that keep what dm-thin's metadata has no place for. Written by dump, read by restore.

/** Attributes of each element: all that may be there, in the order of writing. Those in OPTIONAL need not. */
export const ELEMENTS = {
  superblock: [
    'uuid',
    'time',
    'transaction',
    'flags',
    'version',
    'data_block_size',
    'nr_data_blocks',
    'metadata_snap',
  ],
  def: ['name'],
  device: ['dev_id', 'mapped_blocks', 'transaction', 'creation_time', 'snap_time'],
  single_mapping: ['origin_block', 'data_block', 'time'],
  range_mapping: ['origin_begin', 'data_begin', 'length', 'time'],
  ref: ['name'],
} as const;

export type ElementName = keyof typeof ELEMENTS;
export type AttributeName = (typeof ELEMENTS)[ElementName][number];

export const OPTIONAL: ReadonlySet<string> = new Set(['flags', 'version', 'metadata_snap']);

/** The version of dm-thin's metadata whose meaning this is. */
export const THIN_VERSION = 2;
/** The bit of `flags` that says needs_check. */
export const FLAG_NEEDS_CHECK = 1;

/** An element's start with its attributes by position; `end` is `>` or `/>`. */
export function startTag(name: ElementName, values: readonly (string | number)[], end: '>' | '/>'): string {
  let text = `<${name}`;
  values.forEach((value, index) => {
    text += ` ${ELEMENTS[name][index]}="${value}"`;
  });
  return text + end;
}

/** A comment of ours: what it is about, and its fields. */
export interface Note {
  readonly about: string;
  readonly fields: ReadonlyMap<string, string>;
}

const MARK = 'lamina';

/** `<!-- lamina volume name='a' size='65536' -->`; a comment may hold no `--`, so that and quotes are escaped as %xx. */
export function writeNote(about: string, fields: Readonly<Record<string, string | number | null>>): string {
  let text = `<!-- ${MARK} ${about}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value !== null) text += ` ${name}='${escapeValue(String(value))}'`;
  }
  return `${text} -->`;
}

/** The note in a comment's text; null when the comment is somebody else's. A damaged one has no fields. */
export function readNote(comment: string): Note | null {
  const found = new RegExp(`^\\s*${MARK} (\\w+)((?: \\w+='[^']*')*)\\s*$`).exec(comment);
  if (found === null) return comment.trimStart().startsWith(`${MARK} `) ? damaged : null;
  const fields = new Map<string, string>();
  for (const [, name, value] of found[2]!.matchAll(/ (\w+)='([^']*)'/g))
    fields.set(name!, unescapeValue(value!));
  return { about: found[1]!, fields };
}

const damaged: Note = { about: 'damaged', fields: new Map() };

function escapeValue(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML has no way to write them.
  return value.replace(/[\x00-\x1f\x7f%'\ud800-\udfff\ufffe\uffff]|-(?=-|$)/gu, each =>
    [...new TextEncoder().encode(each)].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}

function unescapeValue(value: string): string {
  return value.replace(/(?:%[0-9a-f]{2})+/g, each => Buffer.from(each.replaceAll('%', ''), 'hex').toString());
}
