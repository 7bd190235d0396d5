// What one row of the option table says, and the few shapes that rows have.
import type { ByteString } from '../base/index.js';
import * as value from './optionvalue.js';
import { OptionError, type UnionConfig } from './unionconfig.js';

/** What parsing one option string has gathered: the configuration so far, and how each option was given. */
export interface Draft {
  readonly config: UnionConfig;
  /** Name to value as written, for the checks of combinations. The last one counts. */
  readonly given: Map<string, ByteString | undefined>;
}

export interface OptionRow {
  readonly name: string;
  /** How the value is written, as help shows it; '' for a flag; null when any value, or none, will do. */
  readonly form: string | null;
  /** acts: changes the mount. note: accepted, does nothing. refused: an error. */
  readonly kind: 'acts' | 'note' | 'refused';
  /** One line. For a note or a refusal: why. */
  readonly help: string;
  apply(draft: Draft, text: ByteString | undefined): void;
}

type Set<T> = (config: UnionConfig, parsed: T) => void;

export function flag(name: string, help: string, set: (config: UnionConfig) => void): OptionRow {
  const apply = ({ config }: Draft, text: ByteString | undefined) => {
    if (text !== undefined) throw new OptionError(name, 'takes no value');
    set(config);
  };
  return { name, form: '', kind: 'acts', help, apply };
}

export function valued<T>(
  name: string,
  form: string,
  help: string,
  parse: value.Parser<T>,
  set: Set<T>,
): OptionRow {
  const apply = ({ config }: Draft, text: ByteString | undefined) => {
    if (text === undefined || text === '') throw new OptionError(name, `needs a value: ${name}=${form}`);
    set(config, parse(name, text));
  };
  return { name, form, kind: 'acts', help, apply };
}

export function choice<const T extends string>(
  name: string,
  words: readonly T[],
  help: string,
  set: Set<T>,
): OptionRow {
  return valued(name, words.join('|'), help, value.oneOf(words), set);
}

export function notes(why: string, ...names: string[]): OptionRow[] {
  return names.map(name => ({
    name,
    form: null,
    kind: 'note',
    help: why,
    apply: ({ config }) => void config.notes.push(`${name}: ${why}`),
  }));
}

export function refused(why: string, ...names: string[]): OptionRow[] {
  const apply = (name: string) => () => {
    throw new OptionError(name, why);
  };
  return names.map(name => ({ name, form: null, kind: 'refused', help: why, apply: apply(name) }));
}

/** Values that are what happens anyway are taken in silence; the others do what `otherwise` says: a note, or an error. */
export function partly(
  name: string,
  silent: readonly string[],
  otherwise: OptionRow,
  accepted: readonly string[],
): OptionRow {
  const words = [...silent, ...accepted];
  const apply = (draft: Draft, text: ByteString | undefined) => {
    const word = value.oneOf(words)(name, text ?? '');
    if (!silent.includes(word)) otherwise.apply(draft, text);
  };
  return { ...otherwise, form: words.join('|'), apply };
}
