// The operations: one row per opcode. An opcode without a row is answered with ENOSYS, and the kernel does not ask again:
// so it is for FLUSH (nothing needs it), locks (the kernel keeps them), POLL, BMAP, and INTERRUPT (what has begun is
// finished; a process that was killed does not wait for it).
import type { Answer, Context } from './context.js';
import * as layout from './layout.js';
import * as attr from './ops-attr.js';
import * as dir from './ops-dir.js';
import * as file from './ops-file.js';
import { ioctl } from './ops-ioctl.js';
import * as names from './ops-names.js';
import { OP } from './protocol.js';
import type { Request } from './request.js';

export interface Row {
  /** Words of the request's struct; a shorter request is malformed. */
  readonly words: number;
  /** Decodes, calls the file system, encodes. */
  readonly run: (c: Context, r: Request) => Answer;
  /** The kernel waits for no answer. */
  readonly silent?: true;
  /** Nobody waits for its effect, and it may be put off. */
  readonly late?: true;
  /**
   * May it be done before requests that were put off? What needs no room may, or what finds out at once that there is none and is then
   * done after them: a caller who has removed a file and closed it finds its room free.
   */
  readonly overtakes?: (r: Request) => boolean;
}

const always = (): boolean => true;

function batchForget(c: Context, r: Request): Answer {
  const count = r.u32(layout.BATCH_FORGET_IN.count);
  let w = layout.BATCH_FORGET_IN.words;
  const end = Math.min(w + count * layout.FORGET_ONE.words, Math.floor(r.length));
  for (; w + layout.FORGET_ONE.words <= end; w += layout.FORGET_ONE.words) {
    c.forget(r.u64(w + layout.FORGET_ONE.nodeid), r.u64(w + layout.FORGET_ONE.nlookup));
  }
  return 0;
}

const rows: readonly (readonly [opcode: number, row: Row])[] = [
  [OP.LOOKUP, { words: 0, run: names.lookup, overtakes: always }],
  [OP.FORGET, { words: layout.FORGET_IN.words, run: names.forget, silent: true, late: true }],
  [OP.GETATTR, { words: layout.GETATTR_IN.words, run: attr.getattr, overtakes: always }],
  [OP.SETATTR, { words: layout.SETATTR_IN.words, run: attr.setattr }],
  [OP.READLINK, { words: 0, run: names.readlink, overtakes: always }],
  [OP.SYMLINK, { words: 0, run: names.symlink }],
  [OP.MKNOD, { words: layout.MKNOD_IN.words, run: names.mknod }],
  [OP.MKDIR, { words: layout.MKDIR_IN.words, run: names.mkdir }],
  [OP.UNLINK, { words: 0, run: names.unlink, overtakes: always }],
  [OP.RMDIR, { words: 0, run: names.rmdir }],
  [OP.RENAME, { words: layout.RENAME_IN.words, run: names.rename, overtakes: always }],
  [OP.RENAME2, { words: layout.RENAME2_IN.words, run: names.rename2, overtakes: always }],
  [OP.LINK, { words: layout.LINK_IN.words, run: names.link }],
  [OP.OPEN, { words: layout.OPEN_IN.words, run: file.open, overtakes: file.onlyReads }],
  [OP.CREATE, { words: layout.CREATE_IN.words, run: file.create }],
  [OP.TMPFILE, { words: layout.CREATE_IN.words, run: file.tmpfile }],
  [OP.READ, { words: layout.READ_IN.words, run: file.read, overtakes: always }],
  [OP.WRITE, { words: layout.WRITE_IN.words, run: file.write }],
  [OP.RELEASE, { words: layout.RELEASE_IN.words, run: file.release, late: true }],
  [OP.FSYNC, { words: layout.FSYNC_IN.words, run: file.fsync }],
  [OP.FALLOCATE, { words: layout.FALLOCATE_IN.words, run: file.fallocate }],
  [OP.LSEEK, { words: layout.LSEEK_IN.words, run: file.lseek }],
  [OP.COPY_FILE_RANGE, { words: layout.COPY_IN.words, run: file.copyFileRange }],
  [OP.COPY_FILE_RANGE_64, { words: layout.COPY_IN.words, run: file.copyFileRange64 }],
  [OP.OPENDIR, { words: layout.OPEN_IN.words, run: dir.opendir }],
  [OP.READDIR, { words: layout.READ_IN.words, run: dir.readdir, overtakes: always }],
  [OP.READDIRPLUS, { words: layout.READ_IN.words, run: dir.readdirPlus, overtakes: always }],
  [OP.RELEASEDIR, { words: layout.RELEASE_IN.words, run: dir.releasedir }],
  [OP.FSYNCDIR, { words: layout.FSYNC_IN.words, run: dir.fsyncdir }],
  [OP.STATFS, { words: 0, run: attr.statfs }],
  [OP.STATX, { words: layout.STATX_IN.words, run: attr.statx }],
  [OP.SYNCFS, { words: layout.SYNCFS_IN.words, run: attr.syncfs }],
  [OP.ACCESS, { words: layout.ACCESS_IN.words, run: attr.access, overtakes: always }],
  [OP.SETXATTR, { words: layout.SETXATTR_IN_SHORT_WORDS, run: attr.setxattr }],
  [OP.GETXATTR, { words: layout.GETXATTR_IN.words, run: attr.getxattr, overtakes: always }],
  [OP.LISTXATTR, { words: layout.GETXATTR_IN.words, run: attr.listxattr, overtakes: always }],
  [OP.REMOVEXATTR, { words: 0, run: attr.removexattr }],
  [OP.IOCTL, { words: layout.IOCTL_IN.words, run: ioctl }],
  [OP.BATCH_FORGET, { words: layout.BATCH_FORGET_IN.words, run: batchForget, silent: true }],
  // The mount is going; what it holds is released when the channel ends, which also happens without this request.
  [OP.DESTROY, { words: 0, run: () => 0 }],
];

/** Rows by opcode. INIT is not here: the session answers it itself. */
export const operations: readonly (Row | undefined)[] = rows.reduce<(Row | undefined)[]>(
  (table, [opcode, row]) => {
    table[opcode] = row;
    return table;
  },
  new Array<Row | undefined>(64).fill(undefined),
);
