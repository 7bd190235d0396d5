// An upper directory as an OCI layer tar: AUFS-style whiteouts in front of their siblings, everything sorted by bytes, so
// that the same tree always gives the same tar. Source: OCI image-spec, layer.md.
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ByteString, toText } from '../base/index.js';
import { OPAQUE_MARK, whiteoutFileName } from '../layer/index.js';
import { type DiffOptions, diffItems, hasPlace, type LinkedItem } from './diff.js';
import type { Entry } from './entry.js';
import { type IdMap, ownerInside } from './id-map.js';
import { type Node, readData } from './node.js';
import { END, encodeEntry, padding } from './tar-write.js';
import { join } from './walk.js';

export interface LayerTarOptions extends DiffOptions {
  /** Owners are told as a user namespace names them. */
  ids?: IdMap | null;
  /** Called with each entry's path once it is written. `bytes`: of the tar so far. */
  onEntry?: ((path: ByteString, bytes: number) => void) | undefined;
  /** Called with what the tar cannot hold, a sentence each. */
  onNote?: ((note: string) => void) | undefined;
}

/** Small pieces are collected up to this size (bytes). */
const BATCH = 1 << 18;

/** The tar of `upper` as buffers. Deletions are spelled out when the lowers are given, else by opaque marks. */
export function layerTar(
  upper: ByteString,
  options: LayerTarOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  return tarOfItems(diffItems(upper, options), options);
}

/** How items become a tar, whatever they were compared with. */
export type TarOptions = Omit<LayerTarOptions, keyof DiffOptions>;

export async function* tarOfItems(
  items: AsyncIterable<LinkedItem>,
  options: TarOptions,
): AsyncGenerator<Buffer, void, undefined> {
  let batch: Buffer[] = [];
  let size = 0;
  let total = 0;
  for await (const { piece, path } of pieces(items, options)) {
    // Data come in a buffer that is used again.
    batch.push(Buffer.from(piece));
    size += piece.length;
    total += piece.length;
    if (path !== null) options.onEntry?.(path, total);
    if (size < BATCH) continue;
    yield batch.length === 1 ? batch[0]! : Buffer.concat(batch);
    batch = [];
    size = 0;
  }
  yield Buffer.concat([...batch, END]);
}

/** `path` is set on the last piece of an entry. */
interface Piece {
  piece: Buffer;
  path: ByteString | null;
}

async function* pieces(
  items: AsyncIterable<LinkedItem>,
  options: TarOptions,
): AsyncGenerator<Piece, void, undefined> {
  for await (const item of items) {
    if (item.kind === 'D') {
      // It was left out of the tar that the deletion would be about.
      if (hasPlace(item.path)) yield { piece: encodeEntry(whiteout(deletionOf(item.path))), path: item.path };
    } else if (cannotHold(item) !== null) {
      options.onNote?.(`${toText(item.path)}: ${cannotHold(item)} and was left out`);
    } else {
      yield* member(item, options.ids ?? null);
      if (item.opaque) yield { piece: encodeEntry(whiteout(join(item.path, OPAQUE_MARK))), path: item.path };
    }
  }
}

/** Why a layer cannot hold a file; null when it can. */
function cannotHold({ node, path }: { node: Node; path: ByteString }): string | null {
  if (!hasPlace(path)) return 'a name that means a deletion has no place in a layer';
  if (node.type === 'socket') return 'a socket has no place in a layer';
  const isDeletion = node.type === 'char' && node.major === 0 && node.minor === 0;
  return isDeletion ? 'a character device 0/0 would be read as a deletion' : null;
}

async function* member(
  item: LinkedItem & { kind: 'A' | 'C' },
  ids: IdMap | null,
): AsyncGenerator<Piece, void, undefined> {
  const { path } = item;
  const node = ids === null ? item.node : { ...item.node, ...ownerInside(item.node, ids, path) };
  const type = node.type === 'socket' ? 'file' : node.type;
  const header: Entry =
    item.link === null
      ? { ...node, type, path }
      : { ...node, type: 'link', path, target: item.link, size: 0, major: 0, minor: 0, xattrs: new Map() };
  yield { piece: encodeEntry(header), path: header.size === 0 ? path : null };
  if (header.size === 0) return;
  for await (const piece of readData(item.data, header.size)) yield { piece, path: null };
  yield { piece: padding(header.size), path };
}

function deletionOf(path: ByteString): ByteString {
  const slash = path.lastIndexOf('/') + 1;
  return path.slice(0, slash) + whiteoutFileName(path.slice(slash));
}

/** An empty file that says something. Its time is fixed: a deletion's own time is nowhere kept. */
function whiteout(path: ByteString): Entry {
  return {
    path,
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 0,
    mtimeNsec: 0,
    target: '',
    major: 0,
    minor: 0,
    xattrs: new Map(),
  };
}

/** Writes the tar of `upper` to `stream` and ends it. `lowers` as in DiffOptions. */
export async function writeLayerTar(
  upper: ByteString,
  lowers: readonly ByteString[] | undefined,
  stream: Writable,
  options: Omit<LayerTarOptions, 'lowers'> = {},
): Promise<void> {
  await pipeline(layerTar(upper, { ...options, lowers }), stream);
}
