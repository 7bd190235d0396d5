// Lines joined into pieces that are worth a write each.

const PIECE = 64 * 1024;

/** The same text in pieces of about 64 KiB. */
export function* pieces(lines: Iterable<string>): Generator<string> {
  let piece = '';
  for (const line of lines) {
    piece += line;
    if (piece.length < PIECE) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}
