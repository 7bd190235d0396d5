// Operations on names: decode, call, encode. The rows are in table.ts.
import { type ByteString, E, S, Stat } from '../base/index.js';
import type { Answer, Context } from './context.js';
import { encodeNegative } from './encode.js';
import { deviceMajor, deviceMinor, LINK_IN, MKDIR_IN, MKNOD_IN, RENAME_IN, RENAME2_IN } from './layout.js';
import type { Request } from './request.js';

const PERMISSIONS = 0o7777;

export function lookup(c: Context, r: Request): Answer {
  const { stat } = c;
  const node = c.fs.lookup(c.node(r.nodeid), r.name(0), stat);
  if (node !== null) return c.entry(node, stat);
  return c.valid.negative ? encodeNegative(c.reply, c.valid) : -E.ENOENT;
}

export function mknod(c: Context, r: Request): Answer {
  const { stat } = c;
  const parent = c.node(r.nodeid);
  const name = r.name(MKNOD_IN.words);
  const mode = r.u32(MKNOD_IN.mode);
  const typed = (mode & S.IFMT) === 0 ? mode | S.IFREG : mode;
  const rdev = r.u32(MKNOD_IN.rdev);
  const caller = c.who(r, r.u32(MKNOD_IN.umask));
  return c.entry(c.fs.mknod(caller, parent, name, typed, deviceMajor(rdev), deviceMinor(rdev), stat), stat);
}

export function mkdir(c: Context, r: Request): Answer {
  const { stat } = c;
  const caller = c.who(r, r.u32(MKDIR_IN.umask));
  const mode = r.u32(MKDIR_IN.mode) & PERMISSIONS;
  return c.entry(c.fs.mkdir(caller, c.node(r.nodeid), r.name(MKDIR_IN.words), mode, stat), stat);
}

export function symlink(c: Context, r: Request): Answer {
  const { stat } = c;
  const parent = c.node(r.nodeid);
  const name = r.name(0);
  return c.entry(c.fs.symlink(c.who(r), parent, name, r.nextText(), stat), stat);
}

export function link(c: Context, r: Request): Answer {
  // Not the shared one: the answer may come after others.
  const stat = new Stat();
  const node = c.node(r.u64(LINK_IN.oldnodeid));
  const linked = c.fs.link(c.who(r), node, c.node(r.nodeid), r.name(LINK_IN.words), stat);
  if (linked instanceof Promise) return linked.then(done => () => c.entry(done, stat));
  return c.entry(linked, stat);
}

export function unlink(c: Context, r: Request): Answer {
  const removed = c.fs.unlink(c.node(r.nodeid), r.name(0));
  return removed === undefined ? 0 : removed.then(() => 0);
}

export function rmdir(c: Context, r: Request): Answer {
  const removed = c.fs.rmdir(c.node(r.nodeid), r.name(0));
  return removed === undefined ? 0 : removed.then(() => 0);
}

export function rename(c: Context, r: Request): Answer {
  return move(c, r, r.u64(RENAME_IN.newdir), r.name(RENAME_IN.words), 0);
}

export function rename2(c: Context, r: Request): Answer {
  return move(c, r, r.u64(RENAME2_IN.newdir), r.name(RENAME2_IN.words), r.u32(RENAME2_IN.flags));
}

function move(c: Context, r: Request, newdir: number, name: ByteString, flags: number): Answer {
  const newName = r.nextName();
  const moved = c.fs.rename(c.who(r), c.node(r.nodeid), name, c.node(newdir), newName, flags);
  return moved === undefined ? 0 : moved.then(() => 0);
}

export function readlink(c: Context, r: Request): Answer {
  const target = c.fs.readlink(c.node(r.nodeid));
  if (!c.reply.reserve(target.length)) return -E.EIO;
  return c.reply.buffer.latin1Write(target, c.reply.at);
}

export function forget(c: Context, r: Request): Answer {
  c.forget(r.nodeid, r.u64(0));
  return 0;
}
