// Operations on attributes, extended attributes and file flags: decode, call, encode. The rows are in table.ts.
import { E, type Stat } from '../base/index.js';
import type { Answer, Context } from './context.js';
import { encodeStatfs, encodeStatx, encodeXattrSize } from './encode.js';
import type { AttrChange, FileTime } from './filesystem.js';
import {
  ACCESS_IN,
  GETATTR_IN,
  GETXATTR_IN,
  SETATTR_IN,
  SETXATTR_IN,
  SETXATTR_IN_SHORT_WORDS,
} from './layout.js';
import { FATTR, GETATTR_FH, SETXATTR_ACL_KILL_SGID } from './protocol.js';
import { MALFORMED, type Request } from './request.js';

function fetch(c: Context, r: Request): Stat {
  const handle = (r.u32(GETATTR_IN.flags) & GETATTR_FH) === 0 ? null : c.files.file(r.u64(GETATTR_IN.fh));
  c.fs.getattr(c.node(r.nodeid), handle, c.stat);
  return c.stat;
}

export function getattr(c: Context, r: Request): Answer {
  return c.attributes(fetch(c, r));
}

/** STATX_IN starts as GETATTR_IN does; every field that Stat has is sent, whatever was asked for. */
export function statx(c: Context, r: Request): Answer {
  return encodeStatx(c.reply, c.valid, fetch(c, r));
}

export function setattr(c: Context, r: Request): Answer {
  const { stat } = c;
  const node = c.node(r.nodeid);
  const valid = r.u32(SETATTR_IN.valid);
  const handle = (valid & FATTR.FH) === 0 ? null : c.files.file(r.u64(SETATTR_IN.fh));
  if ((valid & FATTR.SIZE) !== 0 && r.u64(SETATTR_IN.size) > Number.MAX_SAFE_INTEGER) return -E.EFBIG;
  const change: AttrChange = {};
  if ((valid & FATTR.MODE) !== 0) change.mode = r.u32(SETATTR_IN.mode);
  if ((valid & FATTR.UID) !== 0) change.uid = r.u32(SETATTR_IN.uid);
  if ((valid & FATTR.GID) !== 0) change.gid = r.u32(SETATTR_IN.gid);
  if ((valid & FATTR.SIZE) !== 0) change.size = r.u64(SETATTR_IN.size);
  if ((valid & FATTR.ATIME) !== 0) {
    change.atime = time(r, valid & FATTR.ATIME_NOW, SETATTR_IN.atime, SETATTR_IN.atimeNsec);
  }
  if ((valid & FATTR.MTIME) !== 0) {
    change.mtime = time(r, valid & FATTR.MTIME_NOW, SETATTR_IN.mtime, SETATTR_IN.mtimeNsec);
  }
  if ((valid & FATTR.KILL_SUIDGID) !== 0) change.killPrivileges = true;
  const done = c.fs.setattr(c.who(r), node, handle, change, stat);
  if (done === undefined) return told(c, node, stat);
  return done.then(() => () => told(c, node, stat));
}

/** The answer has the node's attributes, so no notice of them has to go out. */
function told(c: Context, node: object, stat: Stat): number {
  c.told(node);
  return c.attributes(stat);
}

function time(r: Request, now: number, sec: number, nsec: number): FileTime {
  if (now !== 0) return 'now';
  const exact = Math.max(-Number.MAX_SAFE_INTEGER, Math.min(r.i64(sec), Number.MAX_SAFE_INTEGER));
  return { sec: exact, nsec: r.u32(nsec) };
}

export function access(c: Context, r: Request): Answer {
  if (c.fs.access === undefined) return -E.ENOSYS;
  c.fs.access(c.who(r), c.node(r.nodeid), r.u32(ACCESS_IN.mask));
  return 0;
}

export function statfs(c: Context, r: Request): Answer {
  return encodeStatfs(c.reply, c.fs.statfs(c.node(r.nodeid)));
}

export function syncfs(c: Context, r: Request): Answer {
  const done = c.fs.syncfs(c.node(r.nodeid));
  return done === undefined ? 0 : done.then(() => 0);
}

export function getxattr(c: Context, r: Request): Answer {
  return xattr(c, r, c.fs.getxattr(c.node(r.nodeid), r.text(GETXATTR_IN.words)));
}

export function listxattr(c: Context, r: Request): Answer {
  return xattr(c, r, c.fs.listxattr(c.who(r), c.node(r.nodeid)));
}

/** A caller that gives no room asks for the size only. */
function xattr(c: Context, r: Request, value: Buffer | number): Answer {
  if (typeof value === 'number') return value;
  const room = r.u32(GETXATTR_IN.size);
  if (room === 0) return encodeXattrSize(c.reply, value.length);
  if (value.length > room || !c.reply.reserve(value.length)) return -E.ERANGE;
  c.reply.buffer.set(value, c.reply.at);
  return value.length;
}

export function setxattr(c: Context, r: Request): Answer {
  const extended = c.terms.setxattrExt;
  const words = extended ? SETXATTR_IN.words : SETXATTR_IN_SHORT_WORDS;
  if (r.length < words) throw MALFORMED;
  const size = r.u32(SETXATTR_IN.size);
  const name = r.text(words);
  // A copy, because an unfinished answer outlives the request's frame; values are small.
  const value = Buffer.from(r.dataAfterText(size));
  const kill = extended && (r.u32(SETXATTR_IN.setxattrFlags) & SETXATTR_ACL_KILL_SGID) !== 0;
  const done = c.fs.setxattr(c.who(r), c.node(r.nodeid), name, value, r.u32(SETXATTR_IN.flags), kill);
  return done === undefined ? 0 : done.then(() => 0);
}

export function removexattr(c: Context, r: Request): Answer {
  const done = c.fs.removexattr(c.who(r), c.node(r.nodeid), r.text(0));
  return done === undefined ? 0 : done.then(() => 0);
}
