// The ioctls that the kernel turns chattr(1) and FS_IOC_FSSETXATTR into: file flags, in two spellings mapped onto one.
// Every other ioctl is ENOTTY. Numbers: linux/fs.h.
import { E } from '../base/index.js';
import type { Answer, Context } from './context.js';
import { IOCTL_IN, IOCTL_OUT } from './layout.js';
import { MALFORMED, type Request } from './request.js';

interface IoctlRow {
  readonly run: (c: Context, r: Request) => Answer;
}

/** FS_XFLAG_* (struct fsxattr) and the FS_*_FL that says the same. */
const XFLAGS: readonly (readonly [xflag: number, flag: number])[] = [
  [0x8, 0x10], // immutable
  [0x10, 0x20], // append
  [0x20, 0x8], // sync
  [0x40, 0x80], // noatime
  [0x80, 0x40], // nodump
];
const XFLAGS_MASK = XFLAGS.reduce((mask, [, flag]) => mask | flag, 0);
/** struct fsxattr: fsx_xflags comes first. */
const FSXATTR_BYTES = 28;
const FLAGS_BYTES = 4;

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IOC32_GETFLAGS = 0x80046601;
const FS_IOC32_SETFLAGS = 0x40046602;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;

const getFlags: IoctlRow = { run: (c, r) => result(c, r, FLAGS_BYTES, c.fs.getFlags(c.node(r.nodeid))) };
const setFlags: IoctlRow = { run: (c, r) => store(c, r, FLAGS_BYTES, value => value) };
const rows = new Map<number, IoctlRow>([
  [FS_IOC_GETFLAGS, getFlags],
  [FS_IOC32_GETFLAGS, getFlags],
  [FS_IOC_SETFLAGS, setFlags],
  [FS_IOC32_SETFLAGS, setFlags],
  [
    FS_IOC_FSGETXATTR,
    { run: (c, r) => result(c, r, FSXATTR_BYTES, toXflags(c.fs.getFlags(c.node(r.nodeid)))) },
  ],
  [FS_IOC_FSSETXATTR, { run: storeXflags }],
]);

export function ioctl(c: Context, r: Request): Answer {
  return rows.get(r.u32(IOCTL_IN.cmd))?.run(c, r) ?? -E.ENOTTY;
}

/** Answers `value` as the first word of as much output as was asked for, `bytes` at least. */
function result(c: Context, r: Request, bytes: number, value: number): Answer {
  const size = r.u32(IOCTL_IN.outSize);
  if (size < bytes || size > 256) throw MALFORMED;
  const { reply } = c;
  reply.clear(IOCTL_OUT.words + Math.ceil(size / 4));
  reply.words[reply.body + IOCTL_OUT.words] = value;
  return IOCTL_OUT.words * 4 + size;
}

function store(c: Context, r: Request, bytes: number, flagsOf: (value: number) => number): Answer {
  if (r.u32(IOCTL_IN.inSize) < bytes) throw MALFORMED;
  const value = r.data(IOCTL_IN.words, bytes).readUInt32LE(0);
  const done = c.fs.setFlags(c.who(r), c.node(r.nodeid), flagsOf(value));
  return done === undefined ? empty(c) : done.then(() => () => empty(c));
}

/** fsxattr speaks of fewer flags than FS_IOC_SETFLAGS: the others stay. */
function storeXflags(c: Context, r: Request): Answer {
  const rest = c.fs.getFlags(c.node(r.nodeid)) & ~XFLAGS_MASK;
  return store(c, r, FSXATTR_BYTES, value => rest | fromXflags(value));
}

function empty(c: Context): number {
  c.reply.clear(IOCTL_OUT.words);
  return IOCTL_OUT.words * 4;
}

function toXflags(flags: number): number {
  return XFLAGS.reduce((mask, [xflag, flag]) => ((flags & flag) === 0 ? mask : mask | xflag), 0);
}

function fromXflags(xflags: number): number {
  return XFLAGS.reduce((mask, [xflag, flag]) => ((xflags & xflag) === 0 ? mask : mask | flag), 0);
}
