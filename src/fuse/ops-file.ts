// Operations on open files: decode, call, encode. The rows are in table.ts. O_DIRECT is dropped: our buffers are not
// aligned for it, and the kernel bypasses its own cache for such an open without our help.
import { E, isErrno, S, SysError } from '../base/index.js';
import { O } from '../sys/index.js';
import type { Answer, CallerSlot, Context } from './context.js';
import { encodeCopied64, encodeOpen, encodeSeek, encodeWritten } from './encode.js';
import type { Opened } from './filesystem.js';
import {
  COPY_IN,
  CREATE_IN,
  ENTRY_OUT,
  FALLOCATE_IN,
  FSYNC_IN,
  LSEEK_IN,
  OPEN_IN,
  READ_IN,
  RELEASE_IN,
  WRITE_IN,
} from './layout.js';
import {
  FOPEN,
  FSYNC_FDATASYNC,
  MAX_WRITE,
  OPEN_KILL_SUIDGID,
  WRITE_CACHE,
  WRITE_KILL_SUIDGID,
} from './protocol.js';
import { MALFORMED, type Request } from './request.js';

/** The kernel adds bits of its own (FMODE_EXEC) that openat2 refuses, so what may pass is listed. */
const OPEN_FLAGS =
  O.WRONLY | O.RDWR | O.TRUNC | O.APPEND | O.NONBLOCK | O.SYNC | O.NOATIME | O.NOFOLLOW | O.DIRECTORY;
const PERMISSIONS = 0o7777;
const TOO_BIG = new SysError(E.EFBIG, 'copy_file_range');
/** COPY_FILE_RANGE answers in 32 bits. */
const MAX_COPY = 0x7ffff000;

/** Enters an opened file in the tables and writes its open_out, `skip` words into the body. */
function admit(c: Context, nodeid: number, opened: Opened<object>, skip: number): number {
  const fh = c.files.add(opened.handle, nodeid, false);
  if (opened.direct === true) {
    c.modes.enter(nodeid, undefined);
    return encodeOpen(c.reply, skip, fh, FOPEN.DIRECT_IO | FOPEN.PARALLEL_DIRECT_WRITES, 0);
  }
  const backing = c.modes.enter(nodeid, opened.backing);
  if (backing > 0) return encodeOpen(c.reply, skip, fh, FOPEN.PASSTHROUGH, backing);
  const fresh = c.modes.cacheIsGood(nodeid);
  const { preload } = opened;
  if (preload !== undefined && fresh && c.modes.isAlone(nodeid)) c.store(nodeid, preload);
  return encodeOpen(c.reply, skip, fh, opened.keepCache && fresh ? FOPEN.KEEP_CACHE : 0, 0);
}

export function open(c: Context, r: Request): Answer {
  const id = r.nodeid;
  const kill = (r.u32(OPEN_IN.openFlags) & OPEN_KILL_SUIDGID) !== 0;
  const opened = c.fs.open(c.who(r), c.node(id), r.u32(OPEN_IN.flags) & OPEN_FLAGS, kill);
  if (opened instanceof Promise) return opened.then(done => () => admit(c, id, done, 0));
  return admit(c, id, opened, 0);
}

/** Does an OPEN change nothing? */
export function onlyReads(r: Request): boolean {
  return r.length >= OPEN_IN.words && (r.u32(OPEN_IN.flags) & (O.ACCMODE | O.TRUNC)) === O.RDONLY;
}

export function create(c: Context, r: Request): Answer {
  const { stat } = c;
  const parent = c.node(r.nodeid);
  const name = r.name(CREATE_IN.words);
  const flags = r.u32(CREATE_IN.flags);
  const caller = c.who(r, r.u32(CREATE_IN.umask));
  const mode = r.u32(CREATE_IN.mode) & PERMISSIONS;
  try {
    const made = c.fs.create(caller, parent, name, mode, flags & (OPEN_FLAGS | O.EXCL), stat);
    c.entry(made.node, stat);
    return admit(c, c.nodes.idOf(made.node), made.opened, ENTRY_OUT.words);
  } catch (error) {
    if (!isErrno(error, E.EEXIST) || (flags & O.EXCL) !== 0) throw error;
  }
  const kill = (r.u32(CREATE_IN.openFlags) & OPEN_KILL_SUIDGID) !== 0;
  const node = c.fs.lookup(parent, name, stat);
  // CREATE can only answer with a regular file; ESTALE makes the kernel walk the path again and see what is there.
  if (node === null || (stat.mode & S.IFMT) !== S.IFREG) return -E.ESTALE;
  return openExisting(c, caller, node, flags & OPEN_FLAGS, kill);
}

/** The kernel did not know the name, but it exists: CREATE becomes lookup and open. */
function openExisting(c: Context, caller: CallerSlot, node: object, flags: number, kill: boolean): Answer {
  const { stat } = c;
  const opened = c.fs.open(caller, node, flags, kill);
  const answer = (done: Opened<object>): number => {
    c.fs.getattr(node, done.handle, stat);
    c.entry(node, stat);
    return admit(c, c.nodes.idOf(node), done, ENTRY_OUT.words);
  };
  return opened instanceof Promise ? opened.then(done => () => answer(done)) : answer(opened);
}

export function tmpfile(c: Context, r: Request): Answer {
  const { stat } = c;
  const caller = c.who(r, r.u32(CREATE_IN.umask));
  const mode = r.u32(CREATE_IN.mode) & PERMISSIONS;
  const flags = r.u32(CREATE_IN.flags) & (OPEN_FLAGS | O.EXCL) & ~O.DIRECTORY;
  const made = c.fs.tmpfile(caller, c.node(r.nodeid), mode, flags, stat);
  c.entry(made.node, stat);
  return admit(c, c.nodes.idOf(made.node), made.opened, ENTRY_OUT.words);
}

export function release(c: Context, r: Request): Answer {
  const open = c.files.remove(r.u64(RELEASE_IN.fh), false);
  c.modes.leave(open.nodeid);
  c.fs.release(open.handle);
  return 0;
}

export function read(c: Context, r: Request): Answer {
  const size = r.u32(READ_IN.size);
  if (size > MAX_WRITE) throw MALFORMED;
  const handle = c.files.file(r.u64(READ_IN.fh));
  const offset = r.u64(READ_IN.offset);
  if (offset > Number.MAX_SAFE_INTEGER) return 0;
  const { reply } = c;
  reply.reserve(size);
  const got = c.fs.read(handle, offset, size, reply.buffer, reply.at);
  if (typeof got === 'number') return got;
  const detached = reply.detach();
  return got.then(
    bytes => () => {
      reply.adopt(detached);
      return bytes;
    },
    error => {
      reply.discard(detached);
      throw error;
    },
  );
}

export function write(c: Context, r: Request): Answer {
  const data = r.data(WRITE_IN.words, r.u32(WRITE_IN.size));
  const offset = r.u64(WRITE_IN.offset);
  if (offset + data.length > Number.MAX_SAFE_INTEGER) return -E.EFBIG;
  const flags = r.u32(WRITE_IN.writeFlags);
  const kill = (flags & WRITE_KILL_SUIDGID) !== 0;
  const least = (flags & WRITE_CACHE) !== 0 ? data.length : 0;
  const written = c.fs.write(c.files.file(r.u64(WRITE_IN.fh)), offset, data, kill);
  if (typeof written === 'number') return writtenOf(c, written, least);
  const { frame } = r;
  frame.hold();
  return written.finally(() => frame.release()).then(bytes => () => writtenOf(c, bytes, least));
}

/** Of a write-back the kernel looks at the error only (fs/fuse/file.c: fuse_writepage_end): part of it is not enough. */
function writtenOf(c: Context, bytes: number, least: number): number {
  return bytes < least ? -E.ENOSPC : encodeWritten(c.reply, bytes);
}

export function fsync(c: Context, r: Request): Answer {
  const datasync = (r.u32(FSYNC_IN.flags) & FSYNC_FDATASYNC) !== 0;
  const done = c.fs.fsync(c.files.file(r.u64(FSYNC_IN.fh)), datasync);
  if (typeof done === 'number') return c.sync(r, done, datasync);
  return done === undefined ? 0 : done.then(() => 0);
}

export function fallocate(c: Context, r: Request): Answer {
  const offset = r.u64(FALLOCATE_IN.offset);
  const length = r.u64(FALLOCATE_IN.length);
  if (offset + length > Number.MAX_SAFE_INTEGER) return -E.EFBIG;
  const handle = c.files.file(r.u64(FALLOCATE_IN.fh));
  const done = c.fs.fallocate(c.who(r), handle, r.u32(FALLOCATE_IN.mode), offset, length);
  return done === undefined ? 0 : done.then(() => 0);
}

export function lseek(c: Context, r: Request): Answer {
  const handle = c.files.file(r.u64(LSEEK_IN.fh));
  const offset = r.u64(LSEEK_IN.offset);
  if (offset > Number.MAX_SAFE_INTEGER) return -E.ENXIO;
  return encodeSeek(c.reply, c.fs.seek(handle, offset, r.u32(LSEEK_IN.whence)));
}

export function copyFileRange(c: Context, r: Request): Answer {
  const copied = copy(c, r);
  if (typeof copied === 'number') return encodeWritten(c.reply, copied);
  return copied.then(bytes => () => encodeWritten(c.reply, bytes));
}

export function copyFileRange64(c: Context, r: Request): Answer {
  const copied = copy(c, r);
  if (typeof copied === 'number') return encodeCopied64(c.reply, copied);
  return copied.then(bytes => () => encodeCopied64(c.reply, bytes));
}

function copy(c: Context, r: Request): number | Promise<number> {
  if (r.u64(COPY_IN.flags) !== 0) throw MALFORMED;
  const source = c.files.file(r.u64(COPY_IN.fhIn));
  const target = c.files.file(r.u64(COPY_IN.fhOut));
  const length = Math.min(r.u64(COPY_IN.length), MAX_COPY);
  const from = r.u64(COPY_IN.offIn);
  const to = r.u64(COPY_IN.offOut);
  if (from > Number.MAX_SAFE_INTEGER) return 0;
  if (to + length > Number.MAX_SAFE_INTEGER) throw TOO_BIG;
  return c.fs.copyRange(c.who(r), source, from, target, to, length);
}
