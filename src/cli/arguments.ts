// The words of the command line as byte strings, and which command they call. Node decodes arguments as UTF-8; a path
// that is not UTF-8 is taken from /proc/self/cmdline, where it still has its bytes.
import { readFileSync } from 'node:fs';
import { type ByteString, fromText } from '../base/index.js';

const REPLACEMENT = '\ufffd';

/** The arguments after the script's name. */
export function byteArguments(): ByteString[] {
  const words = process.argv.slice(2);
  if (!words.some(word => word.includes(REPLACEMENT))) return words.map(fromText);
  const all = readFileSync('/proc/self/cmdline', 'latin1').split('\0');
  return all.slice(0, -1).slice(-words.length);
}

/** What the words ask for. */
export interface Call {
  readonly command: string;
  readonly words: ByteString[];
}

/**
 * Finds the command. Called as a mount helper there is none: `-o OPTS MNT` (podman) and `SRC /MNT -o OPTS` (mount(8), where
 * SRC may happen to be the name of a command) are `mount`. null: the first word is no command, and no -o follows.
 */
export function findCall(words: ByteString[], commands: readonly string[]): Call | null {
  const first = words[0] ?? '';
  const helper = words.length === 4 && words[1]!.startsWith('/') && words[2] === '-o' && first !== 'mount';
  if (!helper && commands.includes(first)) return { command: first, words: words.slice(1) };
  return words.some(word => /^(-o|--options)/.test(word)) ? { command: 'mount', words } : null;
}
