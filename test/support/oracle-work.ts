// What a clean unmount may leave in a work directory: the empty work/, and index/ with one entry for each hard-linked
// file that was copied up. Everything else is rubbish that somebody has to clear away.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** The names below `work` that should not be there. */
export function workRubbish(work: string | undefined): string[] {
  if (work === undefined) return [];
  const rubbish: string[] = [];
  for (const name of readdirSync(work)) {
    if (name === 'index') continue;
    if (name !== 'work') rubbish.push(`rubbish in the work directory: ${name}`);
    else
      for (const left of readdirSync(join(work, name)))
        rubbish.push(`rubbish in the work directory: work/${left}`);
  }
  return rubbish;
}
