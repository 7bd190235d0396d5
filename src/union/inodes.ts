// Inode numbers of the merged view: those of the layers, with the number of the file system in high bits where layers are
// on several (kernel overlayfs calls this xino). So they are stable over copy-up and remount, and unique in the mount.
import type { Stat } from '../base/index.js';

/** Bits below are the inode's own; 10 bits above them count file systems, so that all is exact in a double. */
const SPAN = 2 ** 43;
const MAX_FILESYSTEMS = 1022;
/** File systems whose own numbers do not fit share this range, by hash. */
const HASHED = 1023;

export class InodeSpace {
  private readonly numbers = new Map<number, number>();

  /** `devices`: Stat.dev of the layers from the top, so that numbers are the same at every mount. */
  constructor(devices: readonly number[]) {
    for (const dev of devices) this.filesystem(dev);
  }

  /** The number under which the file with these attributes is shown. */
  of(stat: Stat): number {
    return this.number(stat.dev, stat.ino);
  }

  /** As `of`, for a number that the layer on device `dev` gave. */
  number(dev: number, ino: number): number {
    const filesystem = this.filesystem(dev);
    if (ino < SPAN && filesystem <= MAX_FILESYSTEMS) return filesystem * SPAN + ino;
    return HASHED * SPAN + mix(ino, dev);
  }

  private filesystem(dev: number): number {
    const known = this.numbers.get(dev);
    if (known !== undefined) return known;
    const next = this.numbers.size;
    this.numbers.set(dev, next);
    return next;
  }
}

/** Spreads a 64-bit number (as a double) and a device over SPAN values (multiply-xorshift, after splitmix64). */
function mix(ino: number, dev: number): number {
  let high = (Math.floor(ino / 2 ** 32) ^ Math.imul((dev % 2 ** 32) | 0, 0x9e3779b9)) | 0;
  let low = (ino % 2 ** 32) | 0;
  for (let round = 0; round < 3; round++) {
    high = Math.imul(high ^ (low >>> 15), 0x85ebca6b);
    low = Math.imul(low ^ (high >>> 13), 0xc2b2ae35);
  }
  return ((high >>> 0) % 2 ** 11) * 2 ** 32 + (low >>> 0);
}
