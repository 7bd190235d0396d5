// The attributes of a volume's file and of the directory of volumes.
import { S, STAT_SLOTS, type Stat } from '../base/index.js';

/** The root's; that of a volume is higher by its id and one. */
export const ROOT_INO = 1;
/** The page size, from which the kernel makes the unit of its cache; nothing to do with a pool's block. */
const BLKSIZE = 4096;
const SECTOR = 512;
const TIMES = [STAT_SLOTS.indexOf('atime'), STAT_SLOTS.indexOf('mtime'), STAT_SLOTS.indexOf('ctime')];

const uid = process.geteuid?.() ?? 0;
const gid = process.getegid?.() ?? 0;

/** The inode number of the volume with this id. */
export function inoOf(id: number): number {
  return ROOT_INO + 1 + id;
}

/** `size` and `space` are bytes, `time` is milliseconds. */
export interface DiskAttributes {
  readonly id: number;
  readonly readOnly: boolean;
  readonly size: number;
  readonly space: number;
  readonly time: number;
}

export function describeDisk(out: Stat, disk: DiskAttributes): void {
  fill(out, inoOf(disk.id), S.IFREG | (disk.readOnly ? 0o400 : 0o600), 1, disk.time);
  out.size = disk.size;
  out.blocks = disk.space / SECTOR;
}

export function describeRoot(out: Stat, time: number): void {
  fill(out, ROOT_INO, S.IFDIR | 0o755, 2, time);
}

function fill(out: Stat, ino: number, mode: number, nlink: number, time: number): void {
  out.slots.fill(0);
  out.ino = ino;
  out.mode = mode;
  out.nlink = nlink;
  out.uid = uid;
  out.gid = gid;
  out.blksize = BLKSIZE;
  for (const slot of TIMES) {
    out.slots[slot] = Math.floor(time / 1000);
    out.slots[slot + 1] = (time % 1000) * 1e6;
  }
}
