// Names and paths on Linux are bytes. Inside laminafs they are strings with one character per byte (latin1): lossless
// for any file name, cheap to decode, and usable as Map keys. They become text only where a person reads or types them.

/** A name or path, one character per byte. ASCII literals are the same in both worlds. */
export type ByteString = string;

/** What a person typed (UTF-8 text) as a byte string. */
export function fromText(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** A byte string as a person reads it; bytes that are not UTF-8 show as U+FFFD. */
export function toText(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
