// INIT: what the kernel offers, what is asked of it, what was agreed. Each flag is one row.
import { E } from '../base/index.js';
import type { RingOffer } from './channel.js';
import { INIT_IN, INIT_OUT } from './layout.js';
import { INIT_BIT, MAJOR, MAX_PAGES, MAX_WRITE, MINOR_MAX, MINOR_MIN } from './protocol.js';
import type { Reply } from './reply.js';
import type { Request } from './request.js';

/** What a mount can switch off or on. */
export interface Wishes {
  /** The kernel checks and keeps POSIX ACLs (which implies default_permissions). */
  readonly acl: boolean;
  /** Data of open files bypasses the daemon where the file system offers a backing file. */
  readonly passthrough: boolean;
  /** How many file systems may be stacked here (passthrough, 1 or 2); a backing file must lie that much lower. */
  readonly maxStackDepth: number;
  /** The kernel may keep what readlink gave. */
  readonly cacheSymlinks: boolean;
  /** Directories are read with attributes where the kernel finds that useful. */
  readonly readdirPlus: boolean;
  /** Files opened as `direct` can be mapped shared (Linux 6.6). */
  readonly directMmap: boolean;
  /** Reads, asynchronous writes and the like that may wait for answers at one time; others wait behind them. */
  readonly maxBackground: number;
  /** Seconds after which a request without an answer ends the connection (Linux 6.15); 0: never. */
  readonly requestTimeout: number;
  /** Where requests can come over io_uring. */
  readonly ring?: RingOffer | undefined;
}

/** What both sides agreed on. */
export interface Terms {
  readonly minor: number;
  readonly passthrough: boolean;
  /** SETXATTR carries its long struct. */
  readonly setxattrExt: boolean;
  /** OPENDIR may be answered with ENOSYS: then it comes no more, and directories are read without handles. */
  readonly noOpendir: boolean;
  /** Requests come over io_uring, unless that turns out not to work. */
  readonly overRing: boolean;
}

interface FlagRow {
  readonly bit: number;
  readonly ask: (wishes: Wishes) => boolean;
}

const always = (): boolean => true;

/** Not here on purpose: locks (the kernel keeps them), WRITEBACK_CACHE (excludes passthrough), AUTO_INVAL_DATA (changes all pass through us). */
const FLAGS: readonly FlagRow[] = [
  { bit: INIT_BIT.ASYNC_READ, ask: always },
  { bit: INIT_BIT.ATOMIC_O_TRUNC, ask: always },
  { bit: INIT_BIT.BIG_WRITES, ask: always },
  { bit: INIT_BIT.DONT_MASK, ask: always },
  { bit: INIT_BIT.DO_READDIRPLUS, ask: w => w.readdirPlus },
  { bit: INIT_BIT.READDIRPLUS_AUTO, ask: w => w.readdirPlus },
  { bit: INIT_BIT.ASYNC_DIO, ask: always },
  { bit: INIT_BIT.PARALLEL_DIROPS, ask: always },
  { bit: INIT_BIT.POSIX_ACL, ask: w => w.acl },
  { bit: INIT_BIT.MAX_PAGES, ask: always },
  { bit: INIT_BIT.CACHE_SYMLINKS, ask: w => w.cacheSymlinks },
  { bit: INIT_BIT.EXPLICIT_INVAL_DATA, ask: always },
  { bit: INIT_BIT.HANDLE_KILLPRIV_V2, ask: always },
  { bit: INIT_BIT.SETXATTR_EXT, ask: always },
  { bit: INIT_BIT.INIT_EXT, ask: always },
  { bit: INIT_BIT.DIRECT_IO_ALLOW_MMAP, ask: w => w.directMmap },
  { bit: INIT_BIT.PASSTHROUGH, ask: w => w.passthrough },
  { bit: INIT_BIT.REQUEST_TIMEOUT, ask: w => w.requestTimeout > 0 },
  { bit: INIT_BIT.OVER_IO_URING, ask: w => w.ring?.open() === true },
];

/** The share of `maxBackground` from which the kernel takes us for congested. */
const CONGESTED = 0.75;
/** One nanosecond. */
const TIME_GRAN = 1;

function isSet(flags: number, flags2: number, bit: number): boolean {
  return (((bit < 32 ? flags : flags2) >>> (bit & 31)) & 1) === 1;
}

/** Reads INIT, writes its answer, and returns what holds from now on, or -errno for a kernel that cannot be served. */
export function negotiate(
  request: Request,
  reply: Reply,
  wishes: Wishes,
): { terms: Terms; length: number } | number {
  const major = request.u32(INIT_IN.major);
  const minor = request.u32(INIT_IN.minor);
  if (major > MAJOR) return { terms: NO_TERMS, length: offerMajor(reply) };
  if (major < MAJOR || minor < MINOR_MIN) return -E.EPROTO;
  const offered = request.u32(INIT_IN.flags);
  const extended = isSet(offered, 0, INIT_BIT.INIT_EXT) && request.length >= INIT_IN.words;
  const offered2 = extended ? request.u32(INIT_IN.flags2) : 0;
  let flags = 0;
  let flags2 = 0;
  for (const row of FLAGS) {
    if (!isSet(offered, offered2, row.bit) || !row.ask(wishes)) continue;
    if (row.bit < 32) flags |= 1 << row.bit;
    else flags2 |= 1 << (row.bit - 32);
  }
  const agreed = Math.min(minor, MINOR_MAX);
  const passthrough = isSet(flags, flags2, INIT_BIT.PASSTHROUGH);
  const overRing = isSet(flags, flags2, INIT_BIT.OVER_IO_URING);
  const length = encodeInit(
    reply,
    agreed,
    request.u32(INIT_IN.maxReadahead),
    flags,
    flags2,
    passthrough ? wishes.maxStackDepth : 0,
    wishes.maxBackground,
    isSet(flags, flags2, INIT_BIT.REQUEST_TIMEOUT) ? wishes.requestTimeout : 0,
    overRing ? wishes.ring!.maxWrite : MAX_WRITE,
  );
  return {
    terms: {
      ...{ minor: agreed, passthrough, setxattrExt: isSet(flags, 0, INIT_BIT.SETXATTR_EXT) },
      ...{ noOpendir: isSet(offered, 0, INIT_BIT.NO_OPENDIR_SUPPORT), overRing },
    },
    length,
  };
}

/** `minor` 0 means: nothing agreed yet, the kernel will ask again with our major version. */
export const NO_TERMS: Terms = {
  ...{ minor: 0, passthrough: false, setxattrExt: false, noOpendir: false, overRing: false },
};

function offerMajor(reply: Reply): number {
  reply.clear(INIT_OUT.words);
  reply.words[reply.body + INIT_OUT.major] = MAJOR;
  reply.words[reply.body + INIT_OUT.minor] = MINOR_MAX;
  return INIT_OUT.words * 4;
}

function encodeInit(
  reply: Reply,
  minor: number,
  readahead: number,
  flags: number,
  flags2: number,
  depth: number,
  background: number,
  timeout: number,
  maxWrite: number,
): number {
  const { words, body: w } = reply;
  reply.clear(INIT_OUT.words);
  words[w + INIT_OUT.major] = MAJOR;
  words[w + INIT_OUT.minor] = minor;
  words[w + INIT_OUT.maxReadahead] = readahead;
  words[w + INIT_OUT.flags] = flags;
  words[w + INIT_OUT.background] = background | ((background * CONGESTED) << 16);
  words[w + INIT_OUT.maxWrite] = maxWrite;
  words[w + INIT_OUT.timeGran] = TIME_GRAN;
  words[w + INIT_OUT.maxPages] = maxWrite / (MAX_WRITE / MAX_PAGES);
  words[w + INIT_OUT.flags2] = flags2;
  words[w + INIT_OUT.maxStackDepth] = depth;
  words[w + INIT_OUT.requestTimeout] = timeout;
  return INIT_OUT.words * 4;
}
