// Pools for tests: one in a scratch directory, closed and removed with the test, and what tests ask of block devices:
// whole contents, merged extents, patterned data, and errors that name the thing and the rule.
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type BlockDevice, errnoName, SysError } from '../../src/base/index.js';
import { Committer } from '../../src/thin/committer.js';
import { type CreateOptions, type DataFile, type MetadataStore, Pool } from '../../src/thin/index.js';
import { type Scratch, scratch } from './cleanup.js';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;
/** The block size of pools here unless a test says otherwise. */
export const BLOCK = 64 * KIB;

export interface PoolStage {
  readonly scratch: Scratch;
  /** The pool's directory. */
  readonly dir: string;
  /** The pool as it is open now. */
  pool: Pool;
  /** Closes the pool and opens it again. */
  reopen(): Promise<Pool>;
  /** Closes it for the rest of the test, or until `reopen`. */
  close(): Promise<void>;
}

/** Commits on this thread: in tests the commit worker takes a second to start, since its TypeScript is compiled then. */
export function commitsHere(dir: string, store: MetadataStore): MetadataStore {
  const committer = new Committer(dir);
  return {
    opening: () => store.opening(),
    page: id => store.page(id),
    counts: (kind, chunk) => store.counts(kind, chunk),
    async commit(batch) {
      const result = committer.commit(batch, 16 * GIB);
      if (result !== null) throw new SysError(result.errno, result.what);
    },
    used: () => store.used(),
    async close() {
      committer.close();
      await store.close();
    },
  };
}

/** Opens a pool that commits on this thread, with something between it and its data file if `data` is given. */
export function openHere(dir: string, data: (file: DataFile) => DataFile = file => file): Promise<Pool> {
  return Pool.openWith(dir, {}, { data, store: store => commitsHere(dir, store) });
}

/** A pool of 64 MiB, or as the options say, opened by `open`. */
export async function poolStage(
  t: Test,
  options: Partial<CreateOptions> = {},
  open: (dir: string) => Promise<Pool> = path => openHere(path),
): Promise<PoolStage> {
  const place = scratch(t, 'thin');
  const dir = place.path('pool');
  await Pool.create(dir, { size: 64 * MIB, ...options });
  let current: Pool | null = await open(dir);
  const close = async (): Promise<void> => {
    const pool = current;
    current = null;
    await pool?.close();
  };
  const stage: PoolStage = {
    scratch: place,
    dir,
    pool: current,
    close,
    async reopen() {
      await close();
      current = await open(dir);
      stage.pool = current;
      return current;
    },
  };
  t.teardown(close);
  return stage;
}

/** What a device is to a test: everything of BlockDevice but its map, which a client over a socket only has later. */
export type Readable = Pick<BlockDevice, 'size' | 'read'>;

/** The bytes of a range. */
export async function contentOf(
  device: Readable,
  offset = 0,
  length = device.size - offset,
): Promise<Buffer> {
  const into = Buffer.alloc(length, 0xa5);
  await device.read(offset, length, into, 0);
  return into;
}

/** One piece of a device: bytes, and whether it is a hole. */
export type Piece = readonly [length: number, hole: boolean];

/** Neighbours of one kind become one piece. */
export function merged(pieces: readonly Piece[]): Piece[] {
  const result: [number, boolean][] = [];
  for (const [length, hole] of pieces) {
    const last = result.at(-1);
    if (last !== undefined && last[1] === hole) last[0] += length;
    else result.push([length, hole]);
  }
  return result;
}

/** The pieces of a range, all of it, merged. */
export function piecesOf(
  device: Pick<BlockDevice, 'size' | 'extents'>,
  offset = 0,
  length = device.size - offset,
): Piece[] {
  const pieces: Piece[] = [];
  for (let at = offset; at < offset + length; ) {
    const before = at;
    device.extents(at, offset + length - at, (bytes, hole) => {
      pieces.push([bytes, hole]);
      at += bytes;
      return true;
    });
    if (at === before) throw new Error(`extents told nothing at ${at} of ${offset + length}`);
  }
  return merged(pieces);
}

/** Bytes that differ for every seed and every place, and are never zero. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = (Math.imul(seed + 1, 0x9e3779b1) ^ length) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = (state >>> 24) | 1;
  }
  return bytes;
}

/** Where two buffers first differ, in words; null when they are equal. */
export function difference(found: Buffer, wanted: Buffer): string | null {
  if (found.equals(wanted)) return null;
  if (found.length !== wanted.length) return `${found.length} bytes instead of ${wanted.length}`;
  let at = 0;
  while (found[at] === wanted[at]) at++;
  let end = found.length;
  while (found[end - 1] === wanted[end - 1]) end--;
  const show = (bytes: Buffer): string => bytes.toString('hex', at, Math.min(at + 8, bytes.length));
  return `bytes ${at} to ${end}: found ${show(found)}.., wanted ${show(wanted)}..`;
}

/** The errno's name with which `body` fails, at once or later, or 'done'. What is no SysError is thrown on. */
export async function outcomeOf(body: () => unknown): Promise<string> {
  try {
    await body();
    return 'done';
  } catch (error) {
    if (error instanceof SysError) return errnoName(error.errno);
    throw error;
  }
}

/** `body` must fail with this SysError, whose message matches all of `says`. */
export async function refused(
  t: Test,
  body: () => unknown,
  errno: number,
  ...says: readonly RegExp[]
): Promise<void> {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    t.equal(error.code, errnoName(errno), error.message);
    for (const pattern of says) t.match(error.message, pattern);
    return;
  }
  t.fail(`was not refused with ${errnoName(errno)}`);
}

/** What is in a directory: modes, sizes and hashes of small files. Two of them are equal when nothing changed. */
export function snapshotOf(dir: string): Record<string, string> {
  if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory()) return {};
  const found: Record<string, string> = {};
  for (const name of readdirSync(dir).sort()) {
    // SQLite's index of the log says nothing that lasts, and an empty log neither.
    const path = join(dir, name);
    const stat = lstatSync(path);
    if (name.endsWith('-shm') || (name.endsWith('-wal') && stat.size === 0)) continue;
    const small = stat.isFile() && stat.size <= 16 * MIB;
    const hash = small ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
    found[name] = `${stat.mode.toString(8)} ${stat.size} ${hash}`;
  }
  return found;
}
