// How much of each volume nobody else uses. A page that is reached twice is shared with all below it, so each page is looked
// at no more than twice for the data blocks, whatever the number of snapshots.
import { blockAt, childAt, FANOUT, span } from './entry.js';
import { checkDepth, type MetadataReader } from './reader.js';
import type { VolumeRow } from './schema.js';

/** In blocks. `shared`: mapped by another volume too, or twice in this one. */
export interface VolumeUsage {
  readonly volume: VolumeRow;
  readonly exclusive: number;
  readonly shared: number;
  /** The last mapped block; null when nothing is mapped. */
  readonly highest: number | null;
}

export function usageOf(reader: MetadataReader, volumes: readonly VolumeRow[]): VolumeUsage[] {
  const uses = new Uses(reader);
  for (const volume of volumes) {
    checkDepth(volume);
    uses.visit(volume, volume.root, volume.depth);
  }
  return volumes.map(volume => {
    const exclusive = uses.exclusive(volume, volume.root, volume.depth);
    return { volume, exclusive, shared: volume.mapped - exclusive, highest: highestOf(reader, volume) };
  });
}

/** The last mapped block of a volume, or null. */
export function highestOf(reader: MetadataReader, volume: VolumeRow): number | null {
  let begin = 0;
  let page = volume.root;
  if (page === 0) return null;
  checkDepth(volume);
  for (let height = volume.depth; ; height--) {
    const words = reader.pageOf(volume, page);
    let entry = FANOUT - 1;
    while (entry > 0 && words[2 * entry] === 0 && words[2 * entry + 1] === 0) entry--;
    begin += entry * span(height);
    if (height === 1) return begin;
    page = childAt(words, entry);
    if (page === 0) return null;
  }
}

class Uses {
  /** How often a page was reached: 1, or 2 for more. */
  private readonly pages = new Map<number, 1 | 2>();
  /** Bits by data block: used, used again. */
  private readonly once: Uint8Array;
  private readonly again: Uint8Array;

  constructor(private readonly reader: MetadataReader) {
    const bytes = Math.ceil(reader.pool.data_blocks / 8);
    this.once = new Uint8Array(bytes);
    this.again = new Uint8Array(bytes);
  }

  visit(volume: VolumeRow, page: number, height: number): void {
    const times = this.pages.get(page);
    if (page === 0 || times === 2) return;
    this.pages.set(page, times === undefined ? 1 : 2);
    const words = this.reader.pageOf(volume, page);
    for (let entry = 0; entry < FANOUT; entry++) {
      if (height === 1) this.use(blockAt(words, entry));
      else this.visit(volume, childAt(words, entry), height - 1);
    }
  }

  /** Blocks below a page that are used once. */
  exclusive(volume: VolumeRow, page: number, height: number): number {
    if (this.pages.get(page) !== 1) return 0;
    const words = this.reader.pageOf(volume, page);
    let blocks = 0;
    for (let entry = 0; entry < FANOUT; entry++) {
      if (height > 1) blocks += this.exclusive(volume, childAt(words, entry), height - 1);
      else if (this.isOnce(blockAt(words, entry))) blocks++;
    }
    return blocks;
  }

  private use(block: number): void {
    if (block < 0) return;
    const at = Math.floor(block / 8);
    const bit = 1 << (block & 7);
    if ((this.once[at]! & bit) !== 0) this.again[at]! |= bit;
    this.once[at]! |= bit;
  }

  private isOnce(block: number): boolean {
    return block >= 0 && (this.again[Math.floor(block / 8)]! & (1 << (block & 7))) === 0;
  }
}
