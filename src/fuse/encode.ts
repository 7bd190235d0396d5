// Bodies of replies. Each function writes at the reply at hand (or at word `w`) and returns the body's length in bytes.
import type { Stat } from '../base/index.js';
import type { FsStat, Timeouts } from './filesystem.js';
import {
  ATTR,
  ATTR_OUT,
  COPY_OUT_64,
  ENTRY_OUT,
  encodeDevice,
  LSEEK_OUT,
  OPEN_OUT,
  put64,
  STATFS_OUT,
  STATX_OUT,
  WRITE_OUT,
  XATTR_OUT,
} from './layout.js';
import type { Reply } from './reply.js';

const FOREVER = 1e9;

/** A file system's timeouts, split as the protocol wants them. */
export class Validity {
  readonly entrySec: number;
  readonly entryNsec: number;
  readonly attrSec: number;
  readonly attrNsec: number;
  readonly negativeSec: number;
  readonly negativeNsec: number;
  /** Are absent names remembered at all? */
  readonly negative: boolean;

  constructor(timeouts: Timeouts) {
    [this.entrySec, this.entryNsec] = split(timeouts.entry);
    [this.attrSec, this.attrNsec] = split(timeouts.attr);
    [this.negativeSec, this.negativeNsec] = split(timeouts.negative);
    this.negative = timeouts.negative > 0;
  }
}

function split(seconds: number): [number, number] {
  const capped = Math.min(Math.max(seconds, 0), FOREVER);
  const whole = Math.floor(capped);
  return [whole, Math.floor((capped - whole) * 1e9)];
}

function putAttr(words: Uint32Array, w: number, stat: Stat): void {
  put64(words, w + ATTR.ino, stat.ino);
  put64(words, w + ATTR.size, stat.size);
  put64(words, w + ATTR.blocks, stat.blocks);
  put64(words, w + ATTR.atime, stat.atime);
  put64(words, w + ATTR.mtime, stat.mtime);
  put64(words, w + ATTR.ctime, stat.ctime);
  words[w + ATTR.atimeNsec] = stat.atimeNsec;
  words[w + ATTR.mtimeNsec] = stat.mtimeNsec;
  words[w + ATTR.ctimeNsec] = stat.ctimeNsec;
  words[w + ATTR.mode] = stat.mode;
  words[w + ATTR.nlink] = stat.nlink;
  words[w + ATTR.uid] = stat.uid;
  words[w + ATTR.gid] = stat.gid;
  words[w + ATTR.rdev] = encodeDevice(stat.rdevMajor, stat.rdevMinor);
  words[w + ATTR.blksize] = stat.blksize;
  words[w + ATTR.flags] = 0;
}

/** An entry at word `w`: what LOOKUP and its relatives answer, and what READDIRPLUS puts before each name. */
export function putEntry(
  words: Uint32Array,
  w: number,
  id: number,
  generation: number,
  valid: Validity,
  stat: Stat,
): void {
  put64(words, w + ENTRY_OUT.nodeid, id);
  put64(words, w + ENTRY_OUT.generation, generation);
  put64(words, w + ENTRY_OUT.entryValid, valid.entrySec);
  put64(words, w + ENTRY_OUT.attrValid, valid.attrSec);
  words[w + ENTRY_OUT.entryValidNsec] = valid.entryNsec;
  words[w + ENTRY_OUT.attrValidNsec] = valid.attrNsec;
  putAttr(words, w + ENTRY_OUT.attr, stat);
}

/** The entry that says: there is no such name, remember that. */
export function encodeNegative(reply: Reply, valid: Validity): number {
  const { words, body } = reply;
  reply.clear(ENTRY_OUT.words);
  put64(words, body + ENTRY_OUT.entryValid, valid.negativeSec);
  words[body + ENTRY_OUT.entryValidNsec] = valid.negativeNsec;
  return ENTRY_OUT.words * 4;
}

export function encodeAttr(reply: Reply, valid: Validity, stat: Stat): number {
  const { words, body } = reply;
  put64(words, body + ATTR_OUT.valid, valid.attrSec);
  words[body + ATTR_OUT.validNsec] = valid.attrNsec;
  words[body + ATTR_OUT.validNsec + 1] = 0;
  putAttr(words, body + ATTR_OUT.attr, stat);
  return ATTR_OUT.words * 4;
}

function putTime(words: Uint32Array, w: number, sec: number, nsec: number): void {
  put64(words, w, sec);
  words[w + 2] = nsec;
}

/** STATX_TYPE to STATX_BLOCKS, which every Stat has, and the mask bits that a Stat may have besides. */
const STATX_BASIC = 0x7ff;
const STATX_BTIME = 0x800;

export function encodeStatx(reply: Reply, valid: Validity, stat: Stat): number {
  const { words, body: w } = reply;
  reply.clear(STATX_OUT.words);
  put64(words, w + STATX_OUT.valid, valid.attrSec);
  words[w + STATX_OUT.validNsec] = valid.attrNsec;
  words[w + STATX_OUT.mask] = STATX_BASIC | (stat.mask & STATX_BTIME);
  words[w + STATX_OUT.blksize] = stat.blksize;
  put64(words, w + STATX_OUT.attributes, stat.attributes);
  words[w + STATX_OUT.nlink] = stat.nlink;
  words[w + STATX_OUT.uid] = stat.uid;
  words[w + STATX_OUT.gid] = stat.gid;
  words[w + STATX_OUT.mode] = stat.mode & 0xffff;
  put64(words, w + STATX_OUT.ino, stat.ino);
  put64(words, w + STATX_OUT.size, stat.size);
  put64(words, w + STATX_OUT.blocks, stat.blocks);
  put64(words, w + STATX_OUT.attributesMask, stat.attributesMask);
  putTime(words, w + STATX_OUT.atime, stat.atime, stat.atimeNsec);
  putTime(words, w + STATX_OUT.btime, stat.btime, stat.btimeNsec);
  putTime(words, w + STATX_OUT.ctime, stat.ctime, stat.ctimeNsec);
  putTime(words, w + STATX_OUT.mtime, stat.mtime, stat.mtimeNsec);
  words[w + STATX_OUT.rdevMajor] = stat.rdevMajor;
  words[w + STATX_OUT.rdevMinor] = stat.rdevMinor;
  words[w + STATX_OUT.devMajor] = stat.devMajor;
  words[w + STATX_OUT.devMinor] = stat.devMinor;
  return STATX_OUT.words * 4;
}

/** An opened file, `skip` words into the body (CREATE puts the entry before it). */
export function encodeOpen(reply: Reply, skip: number, fh: number, flags: number, backing: number): number {
  const { words } = reply;
  const w = reply.body + skip;
  put64(words, w + OPEN_OUT.fh, fh);
  words[w + OPEN_OUT.flags] = flags;
  words[w + OPEN_OUT.backing] = backing;
  return (skip + OPEN_OUT.words) * 4;
}

/** What WRITE and COPY_FILE_RANGE answer. */
export function encodeWritten(reply: Reply, size: number): number {
  put64(reply.words, reply.body + WRITE_OUT.size, size);
  return WRITE_OUT.words * 4;
}

export function encodeCopied64(reply: Reply, copied: number): number {
  put64(reply.words, reply.body + COPY_OUT_64.copied, copied);
  return COPY_OUT_64.words * 4;
}

export function encodeSeek(reply: Reply, offset: number): number {
  put64(reply.words, reply.body + LSEEK_OUT.offset, offset);
  return LSEEK_OUT.words * 4;
}

/** How long an attribute's value, or the list of names, is. */
export function encodeXattrSize(reply: Reply, size: number): number {
  put64(reply.words, reply.body + XATTR_OUT.size, size);
  return XATTR_OUT.words * 4;
}

export function encodeStatfs(reply: Reply, stat: FsStat): number {
  const { words, body: w } = reply;
  reply.clear(STATFS_OUT.words);
  put64(words, w + STATFS_OUT.blocks, stat.blocks);
  put64(words, w + STATFS_OUT.bfree, stat.bfree);
  put64(words, w + STATFS_OUT.bavail, stat.bavail);
  put64(words, w + STATFS_OUT.files, stat.files);
  put64(words, w + STATFS_OUT.ffree, stat.ffree);
  words[w + STATFS_OUT.bsize] = stat.bsize;
  words[w + STATFS_OUT.namelen] = stat.namelen;
  words[w + STATFS_OUT.frsize] = stat.frsize;
  return STATFS_OUT.words * 4;
}
