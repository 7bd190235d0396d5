// Option strings and layer lists as text: where they are split, and what a backslash means there. The rules are the
// kernel's (fs/overlayfs/params.c: ovl_next_opt, ovl_removeEscapes, ovl_parse_param_split_lowerdirs).
import type { ByteString } from '../base/index.js';
import { OptionError } from './unionconfig.js';

/** One element of an option string. `value` is undefined without a "=", and still escaped. */
export interface OptionPair {
  readonly name: string;
  readonly value: ByteString | undefined;
}

const QUOTED = /(?:fs|def|root)?context="[^"]*"/y;

/**
 * Splits `a=b,c` at commas that no backslash precedes and that are not inside the quotes of a security context. Empty
 * elements, which podman and mount(8) produce, are dropped.
 */
export function splitOptions(options: ByteString): OptionPair[] {
  const pairs: OptionPair[] = [];
  let start = 0;
  for (let at = 0; at <= options.length; at++) {
    if (at === start) at = endOfQuoted(options, at);
    if (at < options.length && options[at] !== ',') {
      if (options[at] === '\\') at++;
      continue;
    }
    if (at > start) pairs.push(toPair(options.slice(start, at)));
    start = at + 1;
  }
  if (start < options.length) pairs.push(toPair(options.slice(start)));
  return pairs;
}

function endOfQuoted(options: ByteString, start: number): number {
  QUOTED.lastIndex = start;
  return QUOTED.test(options) ? QUOTED.lastIndex : start;
}

function toPair(element: ByteString): OptionPair {
  const equals = element.indexOf('=');
  if (equals < 0) return { name: element.trim(), value: undefined };
  return { name: element.slice(0, equals).trim(), value: element.slice(equals + 1) };
}

/** Removes one level of backslashes: `\x` becomes `x`. A backslash at the end stays. */
export function removeEscapes(text: ByteString): ByteString {
  return text.replace(/\\([\s\S])/g, '$1');
}

/** The inverse of `removeEscapes` for a path that goes into an option string or a layer list. */
export function escapePath(path: ByteString): ByteString {
  return path.replace(/[\\,:]/g, '\\$&');
}

/** `a:b\:c` as ['a', 'b:c'], the leftmost being the topmost. Throws OptionError for an empty layer. */
export function splitLayers(option: string, list: ByteString): ByteString[] {
  const layers: ByteString[] = [];
  let start = 0;
  for (let at = 0; at <= list.length; at++) {
    if (list[at] === '\\') at++;
    else if (at === list.length || list[at] === ':') {
      layers.push(removeEscapes(list.slice(start, at)));
      start = at + 1;
    }
  }
  if (start < list.length) layers.push(removeEscapes(list.slice(start)));
  const empty = layers.indexOf('');
  if (empty < 0) return layers;
  if (empty === 0) throw new OptionError(option, 'a layer list must not begin with ":"');
  if (empty === layers.length - 1)
    throw new OptionError(option, 'a layer list must not end with an unescaped ":"');
  throw new OptionError(
    option,
    'a layer between two ":" is empty, and data-only layers ("::") are not supported',
  );
}
