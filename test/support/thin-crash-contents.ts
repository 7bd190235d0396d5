// What a pool's volumes hold, as the crash tests' model keeps it.
import type { Pool } from '../../src/thin/pool.js';
import {
  BLOCK,
  type Content,
  emptyContent,
  PLACES,
  SECTOR,
  type State,
  stampIn,
} from './thin-crash-model.js';

/** What a pool holds. */
export async function contents(pool: Pool): Promise<State> {
  const found = new Map<string, Content>();
  const bytes = Buffer.alloc(BLOCK);
  for (const { name } of pool.list()) {
    const volume = pool.volume(name);
    const content = emptyContent(volume.size);
    for (const [place, block] of PLACES.entries()) {
      const length = Math.min(BLOCK, volume.size - block * BLOCK);
      if (length <= 0) continue;
      await volume.read(block * BLOCK, length, bytes, 0);
      for (let at = 0; at < length; at += SECTOR) {
        content.stamps[(place * BLOCK + at) / SECTOR] = stampIn(bytes, at, (block * BLOCK + at) / SECTOR);
      }
    }
    await volume.close();
    found.set(name, content);
  }
  return found;
}
