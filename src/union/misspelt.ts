// Is an unknown word a slip of the pen? An option that engines or mount(8) pass is ignored with a note; a misspelt one of
// ours must not be, because the mount would then show something else than what was asked for.

/** The word of `known` that `word` was probably meant to be, or null. */
export function meantWord(word: string, known: Iterable<string>): string | null {
  const lower = word.toLowerCase().replaceAll('-', '_');
  let best: string | null = null;
  let bestDistance = 3;
  for (const candidate of known) {
    const distance = lower === candidate ? 0 : slipDistance(lower, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function slipDistance(word: string, candidate: string): number {
  if (word.length >= 4 && candidate.startsWith(word)) return 2;
  const distance = editDistance(word, candidate);
  const allowed = Math.min(word.length, candidate.length) >= 6 ? 2 : 1;
  return Math.min(word.length, candidate.length) >= 4 && distance <= allowed
    ? distance
    : Number.POSITIVE_INFINITY;
}

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
