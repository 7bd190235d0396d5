// containerd's filters: `labels."a.b"==x,parent==y`. Selectors between commas must all match, one of several filters must.
// Source: the grammar in containerd's filters/parser.go.
import { E, SysError } from '../base/index.js';

/** Finds the text of a field by its path; undefined when it is absent. */
export type Fields = (path: readonly string[]) => string | undefined;
export type Filter = (fields: Fields) => boolean;

/** A filter that accepts what one of `texts` accepts, and everything when there is none. SysError EINVAL. */
export function parseFilters(texts: readonly string[]): Filter {
  if (texts.length === 0) return () => true;
  const filters = texts.map(parseFilter);
  return fields => filters.some(filter => filter(fields));
}

const FIELD = /\s*(?:([A-Za-z0-9_]+)|("(?:[^"\\\n]|\\.)*"))/uy;
const OPERATOR = /\s*(==|!=|~=)/uy;
/** Bare, or quoted as Go does; a pattern may also stand between / or |. */
const VALUE = /\s*(?:("(?:[^"\\\n]|\\.)*")|([^\s",/|=!~.][^\s,]*))/uy;
const PATTERN =
  /\s*(?:("(?:[^"\\\n]|\\.)*"|\/(?:[^/\\\n]|\\.)*\/|\|(?:[^|\\\n]|\\.)*\|)|([^\s",/|=!~.][^\s,]*))/uy;
const DOT = /\./uy;
const COMMA = /,/uy;
const END = /$/uy;

class Scanner {
  private at = 0;

  constructor(readonly text: string) {}

  /** The groups of what stands here, if it is that. */
  take(pattern: RegExp): readonly (string | undefined)[] | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return null;
    this.at = pattern.lastIndex;
    return found.slice(1);
  }

  refuse(expected: string): SysError {
    return new SysError(E.EINVAL, `filter ${this.text}: ${expected} at character ${this.at}`);
  }
}

function parseFilter(text: string): Filter {
  if (text === '') return () => true;
  const scanner = new Scanner(text);
  const selectors: Filter[] = [];
  do selectors.push(selector(scanner));
  while (scanner.take(COMMA) !== null);
  if (scanner.take(END) === null) throw scanner.refuse('a comma or the end was expected');
  return fields => selectors.every(each => each(fields));
}

function selector(scanner: Scanner): Filter {
  const path: string[] = [];
  do {
    const found = scanner.take(FIELD);
    if (found === null) throw scanner.refuse('a field was expected');
    path.push(found[0] ?? unquote(scanner, found[1]!));
  } while (scanner.take(DOT) !== null);
  const operator = scanner.take(OPERATOR)?.[0];
  if (operator === undefined) return fields => fields(path) !== undefined;
  const found = scanner.take(operator === '~=' ? PATTERN : VALUE);
  if (found === null) throw scanner.refuse('a value was expected');
  const value = found[0] === undefined ? found[1]! : unquote(scanner, found[0]);
  if (operator === '==') return fields => fields(path) === value;
  if (operator === '!=') return fields => fields(path) !== value;
  const pattern = expression(scanner, value);
  return fields => pattern.test(fields(path) ?? '');
}

/** Flags that hold for the whole of an expression of Go's, such as (?i), as JavaScript has them. */
const FLAGS = /^\(\?([ims]+)\)/u;
/** Escaped punctuation stands for itself; JavaScript takes that only of what means something to it. */
const ESCAPED = /\\([-!"#%&',:;<=>@_`~])/gu;

/** Go's expressions are linear in time and JavaScript's are not, but who may list snapshots is root. */
function expression(scanner: Scanner, source: string): RegExp {
  const flags = FLAGS.exec(source)?.[1] ?? '';
  const body = source.replace(FLAGS, '').replace(ESCAPED, (_, char: string) => `\\x${hex(char)}`);
  try {
    return new RegExp(body, `u${flags}`);
  } catch {
    throw scanner.refuse(`${source} is no regular expression`);
  }
}

function hex(char: string): string {
  return char.charCodeAt(0).toString(16);
}

const LETTERS: Readonly<Record<string, string>> = {
  ...{ a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '\\': '\\' },
};
const ESCAPE = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([\s\S]))/gu;

/** A Go string literal, in whichever quotes. */
function unquote(scanner: Scanner, literal: string): string {
  const quote = literal[0]!;
  return literal.slice(1, -1).replace(ESCAPE, (_, x, u, long, octal, letter) => {
    const digits = x ?? u ?? long;
    const code = digits === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(digits, 16);
    if (code <= 0x10ffff) return String.fromCodePoint(code);
    const plain = letter === quote ? quote : LETTERS[letter ?? ''];
    if (plain === undefined) throw scanner.refuse('a string with an escape that is none');
    return plain;
  });
}
