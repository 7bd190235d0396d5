// Operations on open directories: decode, call, encode. The rows are in table.ts.
import type { Answer, Context } from './context.js';
import { encodeOpen } from './encode.js';
import { FSYNC_IN, READ_IN, RELEASE_IN } from './layout.js';
import { FOPEN, FSYNC_FDATASYNC, MAX_WRITE } from './protocol.js';
import { MALFORMED, type Request } from './request.js';

export function opendir(c: Context, r: Request): Answer {
  const id = r.nodeid;
  const fh = c.files.add(c.fs.opendir(c.node(id)), id, true);
  return encodeOpen(c.reply, 0, fh, c.cacheDirectories ? FOPEN.CACHE_DIR | FOPEN.KEEP_CACHE : 0, 0);
}

export function readdir(c: Context, r: Request): Answer {
  return list(c, r, false);
}

export function readdirPlus(c: Context, r: Request): Answer {
  return list(c, r, true);
}

function list(c: Context, r: Request, wantsNodes: boolean): Answer {
  const size = r.u32(READ_IN.size);
  if (size > MAX_WRITE) throw MALFORMED;
  const handle = c.files.directory(r.u64(READ_IN.fh));
  const { dir, reply } = c;
  reply.reserve(size);
  dir.begin(reply, size, wantsNodes);
  const listed = c.fs.readdir(handle, r.u64(READ_IN.offset), dir);
  if (listed === undefined) return dir.length;
  const detached = reply.detach();
  c.renewDir();
  return listed.then(
    () => () => {
      reply.adopt(detached);
      return dir.length;
    },
    error => {
      reply.discard(detached);
      throw error;
    },
  );
}

export function releasedir(c: Context, r: Request): Answer {
  c.fs.releasedir(c.files.remove(r.u64(RELEASE_IN.fh), true).handle);
  return 0;
}

export function fsyncdir(c: Context, r: Request): Answer {
  const datasync = (r.u32(FSYNC_IN.flags) & FSYNC_FDATASYNC) !== 0;
  const done = c.fs.fsyncdir(c.files.directory(r.u64(FSYNC_IN.fh)), datasync);
  return done === undefined ? 0 : done.then(() => 0);
}
