// The attributes of one file, as statx(2) gives them, in one reusable typed array: the addon fills it, the union
// adjusts it, the FUSE codec reads it, and nothing is allocated on the way. Slot order: see STAT_SLOTS.

/** Slot names in order. The addon exports the same list; src/sys refuses to start when they differ. */
export const STAT_SLOTS = [
  'ino',
  'inoLow',
  'inoHigh',
  'mode',
  'nlink',
  'uid',
  'gid',
  'size',
  'blocks',
  'blksize',
  'rdevMajor',
  'rdevMinor',
  'devMajor',
  'devMinor',
  'atime',
  'atimeNsec',
  'mtime',
  'mtimeNsec',
  'ctime',
  'ctimeNsec',
  'btime',
  'btimeNsec',
  'attributes',
  'attributesMask',
  'mountId',
  'mask',
] as const;

/**
 * A file's attributes. Sizes are bytes, `blocks` are 512 bytes, times are seconds and nanoseconds. `ino` is exact up to
 * 2^53; `inoLow` and `inoHigh` are its two 32-bit halves as the file system gave them.
 */
export class Stat {
  readonly slots = new Float64Array(STAT_SLOTS.length);

  get ino(): number {
    return this.slots[0]!;
  }
  set ino(value: number) {
    this.slots[0] = value;
  }
  get inoLow(): number {
    return this.slots[1]!;
  }
  get inoHigh(): number {
    return this.slots[2]!;
  }
  get mode(): number {
    return this.slots[3]!;
  }
  set mode(value: number) {
    this.slots[3] = value;
  }
  get nlink(): number {
    return this.slots[4]!;
  }
  set nlink(value: number) {
    this.slots[4] = value;
  }
  get uid(): number {
    return this.slots[5]!;
  }
  set uid(value: number) {
    this.slots[5] = value;
  }
  get gid(): number {
    return this.slots[6]!;
  }
  set gid(value: number) {
    this.slots[6] = value;
  }
  get size(): number {
    return this.slots[7]!;
  }
  set size(value: number) {
    this.slots[7] = value;
  }
  get blocks(): number {
    return this.slots[8]!;
  }
  set blocks(value: number) {
    this.slots[8] = value;
  }
  get blksize(): number {
    return this.slots[9]!;
  }
  set blksize(value: number) {
    this.slots[9] = value;
  }
  get rdevMajor(): number {
    return this.slots[10]!;
  }
  set rdevMajor(value: number) {
    this.slots[10] = value;
  }
  get rdevMinor(): number {
    return this.slots[11]!;
  }
  set rdevMinor(value: number) {
    this.slots[11] = value;
  }
  get devMajor(): number {
    return this.slots[12]!;
  }
  get devMinor(): number {
    return this.slots[13]!;
  }
  /** Major and minor of the file system, as one number that can be compared. */
  get dev(): number {
    return this.slots[12]! * 2 ** 32 + this.slots[13]!;
  }
  get atime(): number {
    return this.slots[14]!;
  }
  get atimeNsec(): number {
    return this.slots[15]!;
  }
  get mtime(): number {
    return this.slots[16]!;
  }
  get mtimeNsec(): number {
    return this.slots[17]!;
  }
  get ctime(): number {
    return this.slots[18]!;
  }
  set ctime(value: number) {
    this.slots[18] = value;
  }
  get ctimeNsec(): number {
    return this.slots[19]!;
  }
  set ctimeNsec(value: number) {
    this.slots[19] = value;
  }
  get btime(): number {
    return this.slots[20]!;
  }
  get btimeNsec(): number {
    return this.slots[21]!;
  }
  /** STATX_ATTR_* bits that are set, and below which of them the file system knows. */
  get attributes(): number {
    return this.slots[22]!;
  }
  get attributesMask(): number {
    return this.slots[23]!;
  }
  get mountId(): number {
    return this.slots[24]!;
  }
  /** STATX_* bits that say which slots are filled. */
  get mask(): number {
    return this.slots[25]!;
  }

  copyFrom(other: Stat): void {
    this.slots.set(other.slots);
  }
}

/** File type bits of a mode, and the permission bits below them (sys/stat.h). */
export const S = Object.freeze({
  IFMT: 0o170000,
  IFSOCK: 0o140000,
  IFLNK: 0o120000,
  IFREG: 0o100000,
  IFBLK: 0o060000,
  IFDIR: 0o040000,
  IFCHR: 0o020000,
  IFIFO: 0o010000,
  ISUID: 0o4000,
  ISGID: 0o2000,
  ISVTX: 0o1000,
});

/** The d_type that readdir(3) reports for a mode (dirent.h: IFTODT). */
export function modeToType(mode: number): number {
  return (mode & S.IFMT) >> 12;
}

/** d_type values (dirent.h). */
export const DT = Object.freeze({ UNKNOWN: 0, FIFO: 1, CHR: 2, DIR: 4, BLK: 6, REG: 8, LNK: 10, SOCK: 12 });
