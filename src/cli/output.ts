// What the command prints: results on stdout, notes and errors on stderr, one line each. Strings that came from the
// command line or a directory are byte strings and are written as those bytes.
import { writeSync } from 'node:fs';
import { type ByteString, SysError, toText } from '../base/index.js';

/** The command cannot do what it was asked; the message is all that the user needs. */
export class UserError extends Error {
  override readonly name = 'UserError';
}

/** A line on stdout. */
export function say(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** A line on stderr, written before this returns. */
export function warn(text: string): void {
  writeSync(2, `lamina: ${text}\n`);
}

/** What went wrong, for a person, without a stack where the error is an expected one. */
export function describe(error: unknown): string {
  if (error instanceof SysError) return readable(error.message);
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'UserError' || error.name === 'OptionError' || 'code' in error) return error.message;
  if (error.cause instanceof Error) return `${error.message} (${error.cause.message})`;
  return error.stack ?? error.message;
}

/** A message that names a thing by its bytes, or (the thin store's) by its text. */
function readable(message: string): string {
  const decoded = toText(message);
  return /[^\0-\xff]/.test(message) || decoded.includes('\ufffd') ? message : decoded;
}

/** A path as a Buffer, which is how node:fs takes names that are not UTF-8. */
export function pathBuffer(path: ByteString): Buffer {
  return Buffer.from(path, 'latin1');
}

/** Rows of cells as aligned columns; the last column is not padded. */
export function columns(rows: readonly (readonly string[])[], gap = 2): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows.map(row =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]! + gap)))
      .join('')
      .trimEnd(),
  );
}
