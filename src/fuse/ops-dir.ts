// Operations on open directories: decode, call, encode. The rows are in table.ts.
import { E } from '../base/index.js';
import type { Answer, Context } from './context.js';
import { encodeOpen } from './encode.js';
import { FSYNC_IN, READ_IN, RELEASE_IN } from './layout.js';
import { FOPEN, FSYNC_FDATASYNC, MAX_WRITE } from './protocol.js';
import { MALFORMED, type Request } from './request.js';

/** Directories without handles are read for each request anew: the kernel caches listings then, whether we like it or not. */
export function opendir(c: Context, r: Request): Answer {
  if (isStateless(c)) return -E.ENOSYS;
  const id = r.nodeid;
  const fh = c.files.add(c.fs.opendir(c.node(id)), id, true);
  return encodeOpen(c.reply, 0, fh, c.cacheDirectories ? FOPEN.CACHE_DIR | FOPEN.KEEP_CACHE : 0, 0);
}

function isStateless(c: Context): boolean {
  return c.terms.noOpendir && c.cacheDirectories;
}

/** Runs `body` with the directory that the request is about. */
function withDirectory<T>(c: Context, r: Request, fh: number, body: (handle: object) => T): T {
  if (fh !== 0 || !isStateless(c)) return body(c.files.directory(fh));
  const handle = c.fs.opendir(c.node(r.nodeid));
  let result: T;
  try {
    result = body(handle);
  } catch (error) {
    c.fs.releasedir(handle);
    throw error;
  }
  if (result instanceof Promise) return result.finally(() => c.fs.releasedir(handle)) as T;
  c.fs.releasedir(handle);
  return result;
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
  return withDirectory(c, r, r.u64(READ_IN.fh), handle => listFrom(c, r, size, wantsNodes, handle));
}

function listFrom(c: Context, r: Request, size: number, wantsNodes: boolean, handle: object): Answer {
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
  return withDirectory(c, r, r.u64(FSYNC_IN.fh), (handle): Answer => {
    const done = c.fs.fsyncdir(handle, datasync);
    return done === undefined ? 0 : done.then(() => 0);
  });
}
